//! `wasm-bindgen` with the options of this project. The published program has the same library, and an HTTP client, an HTTP server
//! and a parser of options, which take twice as long to compile.

use std::env::args_os;
use std::error::Error;
use std::path::PathBuf;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = args_os().skip(1).map(PathBuf::from).collect();
    let [wasm, folder] = paths.as_slice() else {
        return Err("usage: bindgen FILE.wasm FOLDER".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.module(true)?.input_path(wasm).out_name("index").typescript(false);
    // Generate the functions with which scripts/worker/instance.js replaces the instance after a trap.
    bindgen.reset_state_function(true).force_enable_abort_handler(true);
    bindgen.generate(folder)?;
    Ok(())
}
