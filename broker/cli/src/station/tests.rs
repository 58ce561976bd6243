//! The station's log against whoever changes it, and the labels against a reader.

use time::Duration;

use super::*;

struct Bench {
    directory: tempfile::TempDir,
    order: BatchOrder,
}

impl Bench {
    fn new(quota: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Station::create(&directory.path().join("station"), "line-1").unwrap();
        let order = BatchOrder {
            name: "w1".to_owned(),
            model: "washer".to_owned(),
            quota,
            until: OffsetDateTime::now_utc() + Duration::days(1),
            enrolment_days: 30,
        };
        Self { directory, order }
    }

    fn station(&self) -> Station {
        Station::open(&self.directory.path().join("station")).unwrap()
    }

    fn run(&self, count: u32, out: &str) -> anyhow::Result<Run> {
        self.station().run(&self.order, count, "https://app.example.com/claim", &self.directory.path().join(out))
    }

    fn log_of(&self, run: &Run) -> String {
        fs::read_to_string(&run.log).unwrap()
    }
}

#[test]
fn runs_follow_each_other_in_one_log() {
    let bench = Bench::new(10);
    bench.run(2, "a").unwrap();
    let run = bench.run(3, "b").unwrap();
    assert_eq!((run.made, run.made_in_all), (3, 5));
    let log = Log::verify(&bench.log_of(&run), Some(&bench.station().key.public())).unwrap();
    assert_eq!((log.devices(), log.runs(), log.reprints(), log.duplicates().len()), (5, 2, 0, 0));
    assert_eq!((log.station.as_str(), log.batch.as_str(), log.model.as_str()), ("line-1", "w1", "washer"));
    let import = log.to_import().unwrap();
    let devices = import.lines.iter().filter(|line| matches!(line.entry, mooring_store::FactoryEntry::Device(_)));
    assert_eq!(devices.count(), 5);
}

#[test]
fn secrets_are_in_the_file_for_flashing_alone_and_it_is_for_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new(10);
    let run = bench.run(1, "a").unwrap();
    let devices = bench.directory.path().join("a").join(DEVICES_FILE);
    let made: MadeDevice = serde_json::from_str(&fs::read_to_string(&devices).unwrap()).unwrap();
    assert_eq!(fs::metadata(&devices).unwrap().permissions().mode() & 0o777, 0o600);
    let log = bench.log_of(&run);
    assert!(!log.contains(&made.enrolment_secret) && !log.contains(&made.claim_code));
    let code = ClaimCode::parse(&made.claim_code).unwrap().hash();
    assert!(Log::verify(&log, None).unwrap().has_claim_code(made.id, &code));
    let svg = fs::read_to_string(bench.directory.path().join("a/labels-001.svg")).unwrap();
    assert!(svg.contains(&made.claim_code) && !svg.contains(&made.enrolment_secret));
}

#[test]
fn a_station_keeps_quota_and_end() {
    let mut bench = Bench::new(3);
    bench.run(2, "a").unwrap();
    let refused = bench.run(2, "b").unwrap_err().to_string();
    assert!(refused.contains("quota of 3 devices, and this station has made 2"), "{refused}");
    assert!(!bench.directory.path().join("b").exists(), "nothing half-done");
    bench.order.until = OffsetDateTime::now_utc() - Duration::seconds(1);
    assert!(bench.run(1, "c").unwrap_err().to_string().contains("ended at"));
}

#[test]
fn a_run_never_writes_into_a_directory_that_is_there_and_one_process_uses_a_station() {
    let bench = Bench::new(3);
    fs::create_dir(bench.directory.path().join("a")).unwrap();
    assert!(bench.run(1, "a").is_err());
    let _held = bench.station();
    let error = Station::open(&bench.directory.path().join("station")).map(drop).unwrap_err().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

/// Changes a log, and expects it to be refused with these words.
fn check_refused(change: impl Fn(&mut Vec<String>), says: &str) {
    let bench = Bench::new(10);
    let run = bench.run(3, "a").unwrap();
    let mut lines: Vec<String> = bench.log_of(&run).lines().map(str::to_owned).collect();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let error = format!("{:#}", Log::verify(&text, Some(&bench.station().key.public())).unwrap_err());
    assert!(error.contains(says), "{error} does not say {says}");
}

#[test]
fn attack_a_changed_line_of_a_factory_log_shows() {
    check_refused(
        |lines| lines[2] = lines[2].replacen("claim_code_sha256\":\"", "claim_code_sha256\":\"0", 1),
        "line 3: the signature is wrong",
    );
}

#[test]
fn attack_a_line_left_out_moved_or_repeated_in_a_factory_log_shows() {
    check_refused(|lines| drop(lines.remove(3)), "line 4: it has the number 5");
    check_refused(|lines| lines.swap(2, 3), "line 3: it has the number 4");
    check_refused(|lines| lines.insert(3, lines[2].clone()), "line 4: it has the number 3");
}

#[test]
fn attack_a_factory_log_that_was_cut_off_shows() {
    check_refused(|lines| lines.truncate(4), "no end");
    check_refused(Vec::clear, "cut off");
}

#[test]
fn attack_a_factory_log_of_another_station_with_the_same_name_shows() {
    let (ours, theirs) = (Bench::new(10), Bench::new(10));
    let run = theirs.run(1, "a").unwrap();
    let error = format!("{:#}", Log::verify(&theirs.log_of(&run), Some(&ours.station().key.public())).unwrap_err());
    assert!(error.contains("it names the key"), "{error}");
}

#[test]
fn attack_lines_of_two_logs_of_one_station_do_not_fit_together() {
    let bench = Bench::new(10);
    let first = bench.run(1, "a").unwrap();
    let first = bench.log_of(&first);
    // The station's directory was put back to a copy from before: it signs a second history.
    fs::remove_file(bench.directory.path().join("station/logs/w1.log")).unwrap();
    let second = bench.run(1, "b").unwrap();
    let second = bench.log_of(&second);
    let mixed: String = first.lines().take(3).chain(second.lines().skip(3)).map(|line| format!("{line}\n")).collect();
    let error = format!("{:#}", Log::verify(&mixed, None).unwrap_err());
    assert!(error.contains("does not follow the line before it"), "{error}");
}

#[test]
fn a_label_is_printed_again_with_the_reason_in_the_log() {
    let bench = Bench::new(10);
    bench.run(2, "a").unwrap();
    let devices = bench.directory.path().join("a").join(DEVICES_FILE);
    let text = fs::read_to_string(&devices).unwrap();
    let made: MadeDevice = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let out = bench.directory.path().join("again");
    let log = bench.station().reprint(&bench.order, made.id, "torn", &devices, "mooring://claim", &out).unwrap();
    let log = Log::verify(&fs::read_to_string(log).unwrap(), None).unwrap();
    assert_eq!(log.reprints(), 1);
    assert!(fs::read_to_string(out.join("labels-001.svg")).unwrap().contains("w1 / 2"));
    let unknown = bench.station().reprint(
        &bench.order,
        Uuid::now_v7(),
        "x",
        &devices,
        "mooring://claim",
        &bench.directory.path().join("no"),
    );
    assert!(unknown.unwrap_err().to_string().contains("not in this station's log"));
}

#[test]
fn labels_fill_pages_of_24_and_the_pdf_says_where_its_objects_are() {
    let bench = Bench::new(100);
    bench.run(25, "a").unwrap();
    let out = bench.directory.path().join("a");
    assert!(out.join("labels-002.svg").exists() && !out.join("labels-003.svg").exists());
    let pdf = fs::read(out.join("labels.pdf")).unwrap();
    let text = String::from_utf8(pdf.clone()).unwrap();
    assert!(text.starts_with("%PDF-1.4\n") && text.ends_with("%%EOF\n") && text.contains("/Count 2"));
    let table: usize = text.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
    for (number, entry) in (1..).zip(text[table..].lines().skip(3).take_while(|line| line.ends_with(" n "))) {
        let offset: usize = entry[..10].parse().unwrap();
        assert!(text[offset..].starts_with(&format!("{number} 0 obj\n")), "object {number}");
    }
}

#[test]
fn what_is_drawn_is_the_qr_code_of_the_uri() {
    let made = MadeDevice {
        id: Uuid::now_v7(),
        model: "<washer> (\u{e9})".to_owned(),
        enrolment_secret: "mes_x".to_owned(),
        claim_code: "7K3F-9QXW-0B2M-HT4C".to_owned(),
    };
    let label = Label::of(&made, "w1", 1, "https://app.example.com/claim");
    assert_eq!(label.uri, format!("https://app.example.com/claim#device={}&code=7K3F-9QXW-0B2M-HT4C", made.id));
    let pages = labels::pages(std::slice::from_ref(&label)).unwrap();
    let code = qrcodegen::QrCode::encode_text(&label.uri, qrcodegen::QrCodeEcc::Medium).unwrap();
    let module = 29.0 / f64::from(code.size() + 8);
    let is_dark = |x: i32, y: i32| {
        let (px, py) = (4.0 + (f64::from(x) + 4.5) * module, 4.5 + (f64::from(y) + 4.5) * module);
        pages[0].rectangles.iter().any(|r| (r.x..r.x + r.width).contains(&px) && (r.y..r.y + r.height).contains(&py))
    };
    for (x, y) in (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y))) {
        assert_eq!(is_dark(x, y), code.get_module(x, y), "module {x} {y}");
    }
    assert!(svg::page(&pages[0]).contains("&lt;washer&gt;"));
    assert!(String::from_utf8(pdf::document(&pages)).unwrap().contains("(<washer> \\(?\\))"));
}
