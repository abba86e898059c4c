//! What a process used, as the kernel counts it.

/// Seconds of processor time, user and system.
pub(crate) struct Usage(f64);

impl Usage {
    pub(crate) fn of(pid: u32) -> Self {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // The second field is the name in parentheses and may hold anything.
        let fields: Vec<&str> = text[text.rfind(')').unwrap() + 2..].split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // Linux reports to user space in hundredths of a second on all its usual architectures.
        Usage(ticks / 100.0)
    }

    /// What a process had used when it started.
    pub(crate) fn none() -> Self {
        Usage(0.0)
    }

    pub(crate) fn since(&self, before: &Usage) -> f64 {
        self.0 - before.0
    }
}

/// Resident memory now, in MiB.
pub(crate) fn resident(pid: u32) -> f64 {
    status(pid, "VmRSS:")
}

/// The most resident memory since the process started, in MiB.
pub(crate) fn peak(pid: u32) -> f64 {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
