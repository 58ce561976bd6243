//! What is asked at each request is answered from an index: a table that is read whole would make the hundred-thousandth device everybody's burden.

use sqlx::AssertSqlSafe;

use crate::devices::DEVICES_OF_PERSON;
use crate::sql::params;
use crate::tokens::TOKEN_BY_HASH;
use crate::{Store, StoreOptions};

#[tokio::test]
async fn no_question_of_a_request_reads_a_table_whole() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("plans.db").display());
    let store = Store::connect(&url, &StoreOptions::default()).await.unwrap();
    for sql in [TOKEN_BY_HASH, DEVICES_OF_PERSON] {
        let plan = store.rows(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")), &params![]).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail").unwrap()).collect();
        assert!(steps.iter().any(|step| step.starts_with("SEARCH")), "{steps:#?}");
        // What the question itself has gathered is small.
        let whole = steps.iter().filter(|step| step.starts_with("SCAN") && !step.starts_with("SCAN mine"));
        assert_eq!(whole.collect::<Vec<_>>(), Vec::<&String>::new(), "{steps:#?}\n{sql}");
    }
}
