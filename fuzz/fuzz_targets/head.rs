#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| trigger_launch_fuzz::head::run(data));
