//! What the kernel says of a process.

use std::{error::Error, fs, time::Duration};

/// At one moment, since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) cpu: Duration,
    /// Times that one of its threads went to sleep, and so woke up.
    pub(crate) wakeups: u64,
    pub(crate) rss_kib: u64,
    /// Most since the process started, or since [`forget_most`].
    pub(crate) most_kib: u64,
    /// Bytes that it read, from wherever.
    pub(crate) read: u64,
}

impl Reading {
    pub(crate) fn of(pid: u32) -> Result<Self, Box<dyn Error>> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in the second field may hold spaces; user and system time are 14th and 15th.
        let behind = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks = behind.split(' ').skip(11).take(2).filter_map(|it| it.parse::<u64>().ok());
        let mut wakeups = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
            wakeups += field(&status, "voluntary_ctxt_switches:");
        }
        Ok(Self {
            // The unit is fixed for programs (USER_HZ).
            cpu: Duration::from_millis(10 * ticks.sum::<u64>()),
            wakeups,
            rss_kib: field(&status, "VmRSS:"),
            most_kib: field(&status, "VmHWM:"),
            read: field(&io, "rchar:"),
        })
    }
}

/// What it takes now is its most from here on.
pub(crate) fn forget_most(pid: u32) -> Result<(), Box<dyn Error>> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/clear_refs"))?;
    Ok(file.write_all(b"5")?)
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
