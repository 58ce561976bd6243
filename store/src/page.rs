//! Paging by key: a page ends with a cursor, and the next page starts behind it, whatever was inserted or deleted meanwhile.

use uuid::Uuid;

use crate::sql::Row;
use crate::{Result, StoreError};

/// Where a page ended. Opaque: a cursor is only good for the query that gave it, and a wrong one is [`crate::StoreError::Invalid`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// The text for a URL's query: letters, digits, `-`, `.` and `_` only.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The error for a cursor that this query did not give.
    pub(crate) fn invalid() -> StoreError {
        StoreError::Invalid { what: "cursor".to_owned() }
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// The cursor of the page before; `None` for the first page.
    pub after: Option<Cursor>,
    /// The most items on the page; 1 to [`PageRequest::LIMIT_MAX`], anything else is taken as the nearest of them.
    pub limit: u32,
}

impl PageRequest {
    /// The most items that a page may have.
    pub const LIMIT_MAX: u32 = 1000;

    /// The first page, of at most `limit` items.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The page behind `cursor`, of at most `limit` items.
    pub fn after(cursor: Cursor, limit: u32) -> Self {
        Self { after: Some(cursor), limit }
    }

    /// How many rows to ask the database for: one more than the page has tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        i64::from(self.limit()) + 1
    }

    /// The id behind which the page starts, for queries in the order of a UUID.
    pub(crate) fn after_uuid(&self) -> Result<Uuid> {
        match &self.after {
            Some(cursor) => cursor.as_str().parse().map_err(|_| Cursor::invalid()),
            None => Ok(Uuid::nil()),
        }
    }

    /// Makes the page of the rows that came.
    pub(crate) fn page<T>(
        &self,
        rows: &[Row],
        item: impl Fn(&Row) -> Result<T>,
        cursor: impl Fn(&T) -> String,
    ) -> Result<Page<T>> {
        let limit = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        let is_last = rows.len() <= limit;
        let items = rows.iter().take(limit).map(item).collect::<Result<Vec<T>>>()?;
        let next = if is_last { None } else { items.last().map(|last| Cursor(cursor(last))) };
        Ok(Page { items, next })
    }

    fn limit(&self) -> u32 {
        self.limit.clamp(1, Self::LIMIT_MAX)
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self::first(100)
    }
}

/// Some items, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the order of the query.
    pub items: Vec<T>,
    /// The cursor for the next page; `None` when this is the last.
    pub next: Option<Cursor>,
}

/// What is in a cursor may be any text, and a cursor goes into URLs.
pub(crate) fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(digits: &str) -> Result<String> {
    let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes = digits.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(Cursor::invalid)
}
