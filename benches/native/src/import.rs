//! Measures an import without KV: reads a file, and builds all buckets. Compares its time with that of the `csv` crate, which only
//! reads the rows. `cargo run --release --bin import [rows]` prints the medians of several runs, each in its own process.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    process::Command,
    time::Instant,
};

use trigger_launch::{
    limits::SORT_KEYS,
    profiles::{
        import::{ImportError, Importer, ReadOptions},
        key::IndexKey,
    },
};

/// The number of runs of each measurement.
const RUNS: usize = 5;
const ROWS: usize = 1_000_000;
const METHODS: [&str; 2] = ["csv", "import"];

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [method, file] => measure(method, Path::new(file)),
        [rows] => compare(rows.parse()?),
        _ => compare(ROWS),
    }
}

fn compare(rows: usize) -> Result<(), Failure> {
    let file = env::temp_dir().join(format!("trigger-launch-import-{}.csv", std::process::id()));
    write_file(&file, rows)?;
    let mut results = METHODS.map(|_| Vec::new());
    for _ in 0..RUNS {
        for (method, results) in METHODS.into_iter().zip(&mut results) {
            let output = Command::new(env::current_exe()?).arg(method).arg(&file).output()?;
            let text = String::from_utf8(output.stdout)?;
            let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let [milliseconds, cpu, kibibytes] = numbers[..] else { return Err("no result".into()) };
            results.push((milliseconds, cpu, kibibytes));
        }
    }
    fs::remove_file(&file)?;
    let medians = results.map(|mut results| {
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        results[RUNS / 2]
    });
    for (method, (milliseconds, cpu, kibibytes)) in METHODS.into_iter().zip(medians) {
        println!("{method:8}{milliseconds:10.0} ms{cpu:10.0} ms CPU{:10.0} MiB", kibibytes / 1024.0);
    }
    println!("ratio   {:10.2}   {:10.2}", medians[1].0 / medians[0].0, medians[1].1 / medians[0].1);
    Ok(())
}

/// Writes a file with an e-mail address and a phone number in each row.
fn write_file(path: &Path, rows: usize) -> Result<(), Failure> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "profile_id,email,phone,custom:Custom_ID")?;
    for row in 0..rows {
        let id = (row as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835) >> 32;
        writeln!(file, "{id:024x},customer.{row}@example{}.com,+{},{row}", row % 97, 79_000_000_000_usize + row)?;
    }
    // Otherwise the system writes the file during the measurements.
    Ok(file.into_inner()?.sync_all()?)
}

/// Prints milliseconds, milliseconds of CPU time, and the peak of memory in KiB.
fn measure(method: &str, path: &Path) -> Result<(), Failure> {
    let start = Instant::now();
    let file = File::open(path)?;
    match method {
        "csv" => {
            let mut reader = csv::Reader::from_reader(file);
            let mut record = csv::ByteRecord::new();
            let mut cells = 0;
            while reader.read_byte_record(&mut record)? {
                cells += record.len();
            }
            assert!(cells > 0);
        }
        "import" => {
            let key = IndexKey::new("a key of the benchmark, which is long enough")?;
            let mut importer = Importer::new(key, SORT_KEYS);
            let report = importer.read(file, &ReadOptions::default())?;
            assert!(report.reasons.is_empty());
            let mut bytes = 0;
            let built = importer.plan()?.build(|_, _, text| {
                bytes += text.len();
                Ok::<_, ImportError>(())
            })?;
            assert!(built.profiles > 0 && bytes > 0);
        }
        other => return Err(format!("unknown method {other}").into()),
    }
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak of memory")?;
    println!("{milliseconds} {} {}", cpu_time()?, peak.trim().trim_end_matches(" kB"));
    Ok(())
}

/// Returns the CPU time of all threads of this process in milliseconds, in steps of ten.
fn cpu_time() -> Result<u64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name of the program, in parentheses, can contain spaces. User and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').ok_or("no CPU time")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Ok(ticks.sum::<Result<u64, _>>()? * 10)
}
