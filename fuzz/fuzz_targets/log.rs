#![no_main]

#[path = "../checks/log.rs"]
mod check;

libfuzzer_sys::fuzz_target!(
    init: {
        // The checkpoint's key-value store may panic on a damaged file; the log makes that an error. The fuzzer would take the panic for a crash before.
        std::panic::set_hook(Box::new(|panic| {
            if panic.location().is_none_or(|location| !location.file().contains("redb")) {
                eprintln!("{panic}");
            }
        }));
    },
    |data: &[u8]| check::check(data)
);
