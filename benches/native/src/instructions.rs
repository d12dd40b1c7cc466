//! `instructions NAME`: runs one case once, under a counter of instructions that is to count inside [`measured`] alone.
//! Without a name it lists the cases.

use trigger_launch_benches::{Case, cases};

/// What is counted.
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
