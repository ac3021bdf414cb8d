//! Addresses and names of an installation's programs.

use crate::installation::text;
use anyhow::Context as _;
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    fs::File,
    net::Ipv4Addr,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
};

/// The name of the operators, as a Service of a cluster would have it.
pub(crate) const OPERATORS: &str = "llm-operator";
/// The size of a hosts file. It never changes, so that a reader never sees half of one.
const FILE_BYTES: usize = 4096;

/// A network of loopback addresses, none of which is given out twice.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: [u8; 2],
    given: AtomicU8,
}

/// A hosts file with the addresses of the operators that run.
#[derive(Debug)]
pub(crate) struct Hosts {
    path: PathBuf,
    operators: Mutex<BTreeSet<Ipv4Addr>>,
}

impl Network {
    /// One that most likely nobody else on this machine uses.
    pub(crate) fn new() -> Self {
        let prefix = [rand::random_range(1..=254), rand::random_range(1..=254)];
        Self { prefix, given: AtomicU8::new(1) }
    }

    /// An address that was not given out before, of 254.
    pub(crate) fn next(&self) -> Ipv4Addr {
        let [first, second] = self.prefix;
        Ipv4Addr::new(127, first, second, self.given.fetch_add(1, Ordering::Relaxed))
    }
}

impl Hosts {
    pub(crate) fn new(path: PathBuf) -> anyhow::Result<Self> {
        let hosts = Self { path, operators: Mutex::default() };
        hosts.change(|_| {})?;
        Ok(hosts)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn add(&self, operator: Ipv4Addr) -> anyhow::Result<()> {
        self.change(|operators| operators.extend([operator]))
    }

    pub(crate) fn remove(&self, operator: Ipv4Addr) -> anyhow::Result<()> {
        self.change(|operators| operators.retain(|other| *other != operator))
    }

    /// Writes the file anew, in place: it is mounted.
    fn change(&self, change: impl FnOnce(&mut BTreeSet<Ipv4Addr>)) -> anyhow::Result<()> {
        let mut operators = self.operators.lock();
        change(&mut operators);
        let mut text = "127.0.0.1 localhost\n".to_owned();
        text.extend(operators.iter().map(|address| format!("{address} {OPERATORS}\n")));
        let mut bytes = text.into_bytes();
        bytes.resize(FILE_BYTES, b'\n');
        let doing = || format!("writing {}", self.path.display());
        let file = File::options().create(true).truncate(false).write(true).open(&self.path);
        file.with_context(doing)?.write_all_at(&bytes, 0).with_context(doing)
    }
}

/// The words with which a program is started that sees this file as the machine's hosts file.
/// `unshare` comes before them.
pub(crate) fn seeing<'a>(hosts: &'a Path, program: &'a Path) -> Vec<&'a str> {
    const MOUNT: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let (hosts, program) = (text(hosts), text(program));
    vec!["--mount", "--propagation", "private", "sh", "-c", MOUNT, hosts, program]
}
