//! The three measurements.

use super::{
    backend::{Backend, Sums},
    course::{Course, Sent, Until},
    process::{Reading, forget_most},
};
use serde_json::{Value, json};
use signpost_core::otlp::Signal;
use signpost_hal::clock;
use signpost_sandbox::{Account, Options, Sandbox, Tls};
use signpost_tests::rig::{
    agent::{Agent, Home, PATIENCE, Setup},
    rest,
};
use std::{
    error::Error,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const COURSES: [Course; 4] = [
    Course { name: "logs-100x4", signal: Signal::Logs, records: 100, connections: 4 },
    Course { name: "logs-1x64", signal: Signal::Logs, records: 1, connections: 64 },
    Course { name: "logs-1x4", signal: Signal::Logs, records: 1, connections: 4 },
    Course { name: "metrics-20x4", signal: Signal::Metrics, records: 20, connections: 4 },
];

/// What fills a spool fastest.
const FILL: Course = Course { name: "fill", signal: Signal::Logs, records: 1_000, connections: 4 };

const MEBI: u64 = 1 << 20;
/// The spool of the table, in MiB.
const ROOM: u64 = 512;
/// Hundredths of bytes that a spool takes for a byte of requests.
const TAKES: u64 = 109;
/// Bytes of requests that are held back to see full batches.
const HELD: u64 = 2 * MEBI;
/// How long it is left alone.
const IDLE: Duration = Duration::from_secs(10);
/// How long what waits may take to arrive.
const DRAIN: Duration = Duration::from_secs(240);
/// Bytes of an access token as vendors give them. The sandbox's have 761 for a subject of this length
/// (255 are allowed); a header of the backend's makes up for the rest.
const TOKEN: usize = 900;
const SUBJECT: usize = 250;
const REST: usize = TOKEN - 761 - "x-rest: \r\n".len();

/// Issuer and backend, and the folder of whoever is measured.
struct Stage {
    runtime: Runtime,
    sandbox: Sandbox,
    backend: Backend,
    folder: TempDir,
}

impl Stage {
    fn new() -> Result<Self, Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let account = Account {
            subject: "x".repeat(SUBJECT),
            name: "Anna Berg".to_owned(),
            email: "anna@bergwald.example".to_owned(),
            tenant: "Bergwald Nurseries".to_owned(),
        };
        let options = Options {
            tls: Some(Tls::Kept(folder.path().to_owned())),
            accounts: vec![account],
            interval: Some(Duration::from_secs(1)),
            ..Options::default()
        };
        let sandbox = runtime.block_on(Sandbox::start(options))?;
        let backend = Backend::start(folder.path())?;
        Ok(Self { runtime, sandbox, backend, folder })
    }

    /// Our agent, signed in.
    fn agent(&self, program: &Path, spool: u64) -> Result<(Home, Agent), Box<dyn Error>> {
        let ca = self.folder.path().join("all.pem");
        let both = [self.sandbox.ca_pem().unwrap_or_default(), "\n", &self.backend.ca].concat();
        fs::File::create(&ca)?.write_all(both.as_bytes())?;
        let folder = self.folder.path().join("agent");
        let setup = Setup {
            issuer: self.sandbox.issuer_url(),
            telemetry: &self.backend.url,
            ca: Some(&ca),
            spool: &format!("{spool} MiB"),
            more: &format!(
                "[telemetry.headers]\nx-rest = \"{}\"\n\
                 [telemetry.when_full]\nmetrics = \"refuse\"\nlogs = \"refuse\"\n\
                 [telemetry.quota]\nevents = \"1 %\"\nmetrics = \"3 %\"\nlogs = \"96 %\"\n",
                "x".repeat(REST)
            ),
        };
        let home = Home::new(&folder, program.to_owned(), &setup)?;
        let mut file = fs::File::create(home.path("spool.flash"))?;
        let zeros = vec![0; MEBI as usize];
        (0..spool).try_for_each(|_| file.write_all(&zeros))?;
        file.sync_all()?;
        let subject = "x".repeat(SUBJECT);
        let agent = home.sign_in_as(&self.runtime, &self.sandbox, &subject)?;
        Ok((home, agent))
    }

    /// Waits until so many records have arrived: how long that took.
    fn drained(&mut self, records: u64) -> Result<Duration, Box<dyn Error>> {
        let began = clock::boot();
        while self.backend.sums()?.records < records {
            if clock::boot() - began > DRAIN {
                let got = self.backend.sums()?.records;
                eprintln!("{got} of {records} have arrived after {} s", DRAIN.as_secs());
                break;
            }
            rest(Duration::from_millis(10));
        }
        Ok(clock::boot() - began)
    }
}

/// What one course cost.
struct Row {
    who: String,
    course: Course,
    span: Duration,
    sent: Sent,
    during: Sums,
    after: Sums,
    before: Reading,
    end: Reading,
    /// Bytes that ours says it wrote to flash. The kernel's count of a process is of no use: it takes
    /// a whole folio of the page cache for each part of one (measured: forty times too much).
    programmed: Option<u64>,
    idle_wakeups: f64,
}

impl Row {
    fn per_second(&self, records: u64) -> f64 {
        records as f64 / self.span.as_secs_f64()
    }

    fn cpu_per_million(&self) -> f64 {
        (self.end.cpu - self.before.cpu).as_secs_f64() * 1e6 / self.after.records.max(1) as f64
    }

    fn programmed(&self) -> Option<f64> {
        self.programmed.map(|bytes| bytes as f64 / self.sent.payload.max(1) as f64)
    }

    fn wire(&self) -> f64 {
        self.after.wire as f64 / self.after.records.max(1) as f64
    }

    fn batch(&self) -> f64 {
        self.after.records as f64 / self.after.requests.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "who": self.who,
            "course": self.course.name,
            "accepted_per_second": self.per_second(self.sent.accepted),
            "delivered_per_second": self.per_second(self.during.records),
            "cpu_seconds_per_million": self.cpu_per_million(),
            "rss_idle_kib": self.before.rss_kib,
            "rss_most_kib": self.end.most_kib,
            "written_per_payload": self.programmed(),
            "wire_bytes_per_record": self.wire(),
            "records_per_batch": self.batch(),
            "idle_wakeups_per_second": self.idle_wakeups,
            "refused": self.sent.refused,
            "failed": self.sent.failed,
            "accepted": self.sent.accepted,
            "arrived": self.after.records,
        })
    }
}

/// The table: ours, and each peer by the same course.
pub(crate) fn table(
    program: &Path,
    peers: &[String],
    only: Option<&str>,
    span: Duration,
) -> Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    for course in COURSES.into_iter().filter(|course| only.is_none_or(|it| it == course.name)) {
        let mut stage = Stage::new()?;
        let (home, agent) = stage.agent(program, ROOM)?;
        rows.push(measure("ours", &course, span, &mut stage, agent.pid(), home.intake(), || {
            programmed(program, &home)
        })?);
        drop(agent);
        for peer in peers {
            let mut stage = Stage::new()?;
            let (process, intake) = start_peer(peer, &stage)?;
            let pid = process.0.id();
            let name = peer.split_whitespace().nth(1).unwrap_or(peer);
            rows.push(measure(name, &course, span, &mut stage, pid, intake, || None)?);
        }
    }
    let held = match only {
        None | Some("held") => held(program)?,
        Some(_) => Vec::new(),
    };
    print(&rows, &held);
    Ok(())
}

/// What a record costs on the wire where so many wait that batches are full.
fn held(program: &Path) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for course in [&COURSES[0], &COURSES[3]] {
        eprintln!("ours: {}, held", course.name);
        let mut stage = Stage::new()?;
        stage.backend.set_open(false)?;
        let (home, agent) = stage.agent(program, ROOM)?;
        let sent = course.run(home.intake(), Until::Payload(HELD));
        stage.backend.set_open(true)?;
        let first = stage.backend.sums()?;
        stage.drained(first.records + sent.accepted)?;
        drop(agent);
        let sums = less(stage.backend.sums()?, first);
        rows.push(json!({
            "course": course.name,
            "wire_bytes_per_record": sums.wire as f64 / sums.records.max(1) as f64,
            "records_per_batch": sums.records as f64 / sums.requests.max(1) as f64,
        }));
    }
    Ok(rows)
}

fn measure(
    who: &str,
    course: &Course,
    span: Duration,
    stage: &mut Stage,
    pid: u32,
    intake: SocketAddr,
    programmed: impl Fn() -> Option<u64>,
) -> Result<Row, Box<dyn Error>> {
    eprintln!("{who}: {}", course.name);
    rest(Duration::from_secs(2));
    let start = Reading::of(pid)?;
    rest(IDLE);
    let rested = Reading::of(pid)?;
    forget_most(pid)?;
    let (first, started) = (stage.backend.sums()?, programmed());
    let before = Reading::of(pid)?;
    let sent = course.run(intake, Until::Passed(span));
    let during = less(stage.backend.sums()?, first);
    stage.drained(first.records + sent.accepted)?;
    // The removal of the last batch rides alone, a little later.
    rest(Duration::from_secs(2));
    let end = Reading::of(pid)?;
    let after = less(stage.backend.sums()?, first);
    let programmed = programmed().zip(started).map(|(now, then)| now.saturating_sub(then));
    let idle_wakeups = (rested.wakeups - start.wakeups) as f64 / IDLE.as_secs_f64();
    let (who, course) = (who.to_owned(), *course);
    Ok(Row { who, course, span, sent, during, after, before, end, programmed, idle_wakeups })
}

fn less(now: Sums, then: Sums) -> Sums {
    Sums {
        requests: now.requests - then.requests,
        records: now.records - then.records,
        wire: now.wire - then.wire,
    }
}

/// What the agent says that it has programmed today.
fn programmed(program: &Path, home: &Home) -> Option<u64> {
    let mut status = Command::new(program);
    status.args(["status", "--json", "--config"]).arg(home.path("signpost.toml"));
    let told: Value = serde_json::from_slice(&status.output().ok()?.stdout).ok()?;
    told["flash"]["written_today"].as_u64()
}

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_peer(command: &str, stage: &Stage) -> Result<(Peer, SocketAddr), Box<dyn Error>> {
    let intake = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let folder = stage.folder.path().join("peer");
    fs::create_dir_all(&folder)?;
    let log = fs::File::create(folder.join("log"))?;
    let process = Command::new("sh")
        .args(["-c", command])
        .current_dir(&folder)
        .env("OTLP_PORT", intake.port().to_string())
        .env("SINK_URL", &stage.backend.url)
        .env("SINK_PLAIN_URL", &stage.backend.plain_url)
        .env("SINK_CA", stage.folder.path().join("sink.pem"))
        .env("TOKEN", "x".repeat(TOKEN))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let peer = Peer(process);
    let began = clock::boot();
    while TcpStream::connect(intake).is_err() {
        if clock::boot() - began > PATIENCE {
            return Err(format!("{command}: nobody listens on OTLP_PORT").into());
        }
        rest(Duration::from_millis(50));
    }
    Ok((peer, intake))
}

fn print(rows: &[Row], held: &[Value]) {
    println!(
        "{:14} {:10} {:>10} {:>10} {:>9} {:>14} {:>15} {:>9} {:>9} {:>8}",
        "course",
        "",
        "accepted/s",
        "arrived/s",
        "CPU s/M",
        "RSS MiB",
        "written/payload",
        "wire B",
        "in batch",
        "idle /s"
    );
    for row in rows {
        let programmed = row.programmed().map_or("-".to_owned(), |it| format!("{it:.2}"));
        println!(
            "{:14} {:10} {:>10.0} {:>10.0} {:>9.2} {:>6.1} -> {:>4.1} {:>15} {:>9.1} {:>9.0} {:>8.1}",
            row.course.name,
            row.who,
            row.per_second(row.sent.accepted),
            row.per_second(row.during.records),
            row.cpu_per_million(),
            mib(row.before.rss_kib),
            mib(row.end.most_kib),
            programmed,
            row.wire(),
            row.batch(),
            row.idle_wakeups,
        );
    }
    for row in held {
        let number = |key: &str| row[key].as_f64().unwrap_or_default();
        let (wire, batch) = (number("wire_bytes_per_record"), number("records_per_batch"));
        println!("{} held: {wire:.1} B a record in batches of {batch:.0}", row["course"]);
    }
    println!(
        "goals: logs-100x4 83000/s, 5 s/M, < 8 -> < 12 MiB, 1.15 written, held 35 B; logs-1x64 2.0 \
         written; metrics-20x4 held 16 B; idle 1 /s"
    );
    println!("{}", json!({ "rows": rows.iter().map(Row::json).collect::<Vec<_>>(), "held": held }));
}

/// A spool with much in it: memory, what a start reads, how fast it drains.
pub(crate) fn backlog(program: &Path, mebibytes: u64) -> Result<(), Box<dyn Error>> {
    let mut stage = Stage::new()?;
    stage.backend.set_open(false)?;
    // A sixteenth is left for reports, and quotas are of the whole.
    let (home, agent) = stage.agent(program, mebibytes * 5 / 4)?;
    forget_most(agent.pid())?;
    let began = clock::boot();
    let sent = FILL.run(home.intake(), Until::Payload(mebibytes * MEBI));
    let filled = (clock::boot() - began).as_secs_f64();
    let full = Reading::of(agent.pid())?;
    agent.kill()?;
    let began = clock::boot();
    let agent = home.start()?;
    home.wait_until_ready()?;
    let started = clock::boot() - began;
    let opened = Reading::of(agent.pid())?;
    rest(Duration::from_secs(3));
    let waiting = Reading::of(agent.pid())?;
    forget_most(agent.pid())?;
    stage.backend.set_open(true)?;
    let first = stage.backend.sums()?;
    let before = Reading::of(agent.pid())?;
    // Whoever waits for a back-off of minutes would measure that.
    let began = clock::boot();
    while stage.backend.sums()?.records == first.records && clock::boot() - began < DRAIN {
        rest(Duration::from_millis(10));
    }
    let began = clock::boot();
    stage.drained(first.records + sent.accepted)?;
    let drained = (clock::boot() - began).as_secs_f64();
    let after = Reading::of(agent.pid())?;
    let arrived = less(stage.backend.sums()?, first);
    let rate = sent.payload as f64 / drained / MEBI as f64;
    let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6 / arrived.records.max(1) as f64;
    println!("{:.0} MiB in {} records waited", sent.payload as f64 / MEBI as f64, sent.accepted);
    println!("most RSS while it filled           {:>8.1} MiB  (goal < 12)", mib(full.most_kib));
    println!("start until it takes in            {:>8.0} ms", started.as_secs_f64() * 1e3);
    println!("read at the start                  {:>8.1} KiB", opened.read as f64 / 1024.0);
    println!("RSS with all of it waiting         {:>8.1} MiB  (goal < 8)", mib(waiting.rss_kib));
    println!("most RSS while it drained          {:>8.1} MiB  (goal < 12)", mib(after.most_kib));
    println!(
        "drained at                         {rate:>8.1} MiB/s, {:.0} records/s",
        arrived.records as f64 / drained
    );
    let wire = arrived.wire as f64 / arrived.records.max(1) as f64;
    println!(
        "on the wire with heads             {wire:>8.1} B a record, {:.0} in a batch  (goal 35)",
        arrived.records as f64 / arrived.requests.max(1) as f64
    );
    println!("CPU per million records, draining  {cpu:>8.2} s");
    println!(
        "filled at                          {:>8.1} MiB/s",
        sent.payload as f64 / filled / MEBI as f64
    );
    println!(
        "{}",
        json!({
            "payload_bytes": sent.payload, "records": sent.accepted, "arrived": arrived.records,
            "rss_filling_most_kib": full.most_kib, "start_ms": started.as_secs_f64() * 1e3,
            "read_at_start_bytes": opened.read, "rss_waiting_kib": waiting.rss_kib,
            "rss_draining_most_kib": after.most_kib, "drain_seconds": drained,
            "drain_cpu_seconds_per_million": cpu, "wire_bytes_per_record": wire, "fill_seconds": filled,
            "refused": sent.refused, "failed": sent.failed,
        })
    );
    Ok(())
}

/// What a record costs in an empty spool, a half full one, and a nearly full one.
pub(crate) fn growth(program: &Path) -> Result<(), Box<dyn Error>> {
    let mut stage = Stage::new()?;
    stage.backend.set_open(false)?;
    let (home, agent) = stage.agent(program, ROOM)?;
    let course = COURSES[0];
    // A spool keeps a sixteenth back.
    let part = |percent: u64| ROOM * MEBI * percent / TAKES;
    let step = part(5);
    println!("{:>6} {:>12} {:>12} {:>16}", "full", "CPU s/M", "accepted/s", "written/payload");
    let mut rows = Vec::new();
    let mut held = 0;
    for percent in [0, 10, 50, 85] {
        let target = part(percent);
        if target > held {
            held += FILL.run(home.intake(), Until::Payload(target - held)).payload;
        }
        let programmed_before = programmed(program, &home).unwrap_or_default();
        let (before, began) = (Reading::of(agent.pid())?, clock::boot());
        let sent = course.run(home.intake(), Until::Payload(step));
        let (after, took) = (Reading::of(agent.pid())?, clock::boot() - began);
        held += sent.payload;
        let cpu = (after.cpu - before.cpu).as_secs_f64() * 1e6 / sent.accepted.max(1) as f64;
        let programmed = programmed(program, &home).unwrap_or_default() - programmed_before;
        let written = programmed as f64 / sent.payload.max(1) as f64;
        let rate = sent.accepted as f64 / took.as_secs_f64();
        println!("{percent:>4} % {cpu:>12.2} {rate:>12.0} {written:>16.3}");
        rows.push(json!({
            "percent_full": percent, "cpu_seconds_per_million": cpu,
            "accepted_per_second": rate, "written_per_payload": written,
            "refused": sent.refused, "accepted": sent.accepted,
        }));
    }
    println!("{}", json!({ "rows": rows }));
    Ok(())
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
