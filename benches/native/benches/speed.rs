//! `cargo bench --manifest-path benches/native/Cargo.toml`: bytes a second of every case.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trigger_launch_benches::cases;

fn speed(criterion: &mut Criterion) {
    for case in cases() {
        let mut group = criterion.benchmark_group(case.group);
        group.throughput(Throughput::Bytes(case.bytes as u64)).sample_size(20);
        group.bench_function(case.by, |bencher| bencher.iter(&case.run));
        group.finish();
    }
}

criterion_group!(benches, speed);
criterion_main!(benches);
