//! Killed under load, the server has lost nothing that it acknowledged.

use uuid::Uuid;

use crate::events::check_stored_exactly_once;
use crate::load::Load;
use crate::server::Home;

#[test]
fn after_sigkill_under_load_each_acknowledged_event_is_stored_exactly_once() {
    let home = Home::new();
    let devices: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let server = home.start();
        let load = Load::start(server.plain.unwrap(), &devices, round * 10_000_000, None);
        load.wait_for(2_000);
        server.kill();
        acknowledged.extend(load.finish());
    }
    let server = home.start();
    check_stored_exactly_once(&home.sqlite_url(), server.plain.unwrap(), &acknowledged);
}
