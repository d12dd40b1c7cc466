//! `instructions NAME`: runs a case once. Valgrind counts the instructions inside [`measured`] only. Without a name it lists the
//! cases.

use trigger_launch_benches::{Case, cases};

/// Keeps its name and is not inlined, so that valgrind finds it.
#[inline(never)]
#[unsafe(no_mangle)]
fn measured(case: &Case) -> usize {
    (case.run)()
}

fn main() {
    let wanted = std::env::args().nth(1);
    for case in cases() {
        let name = format!("{} / {}", case.group, case.by);
        match &wanted {
            None => println!("{name}"),
            Some(wanted) if *wanted == name => {
                std::hint::black_box(measured(&case));
            }
            Some(_) => {}
        }
    }
}
