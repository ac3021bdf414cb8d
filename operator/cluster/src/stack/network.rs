//! Addresses and names of an installation's processes.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use parking_lot::Mutex;

use super::process::utf8;

/// The DNS name of the operators, as a Service of a cluster would have it.
pub(crate) const OPERATOR_HOST: &str = "llm-operator";
/// The size of a hosts file. It never changes, so that a reader never sees half of one.
const HOSTS_FILE_BYTES: usize = 4096;

/// 254 loopback addresses, each given out once.
#[derive(Debug)]
pub(crate) struct LoopbackNetwork {
    prefix: [u8; 2],
    next: AtomicU8,
}

impl LoopbackNetwork {
    /// A /24 that most likely nothing else on this machine uses.
    pub(crate) fn random() -> Self {
        let prefix = [rand::random_range(1..=254), rand::random_range(1..=254)];
        Self { prefix, next: AtomicU8::new(1) }
    }

    pub(crate) fn allocate(&self) -> Ipv4Addr {
        let [first, second] = self.prefix;
        Ipv4Addr::new(127, first, second, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// A hosts file with the addresses of the running operators.
#[derive(Debug)]
pub(crate) struct HostsFile {
    path: PathBuf,
    operators: Mutex<BTreeSet<Ipv4Addr>>,
}

impl HostsFile {
    pub(crate) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let hosts = Self { path, operators: Mutex::default() };
        hosts.edit(|_| {})?;
        Ok(hosts)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn add(&self, operator: Ipv4Addr) -> anyhow::Result<()> {
        self.edit(|operators| operators.extend([operator]))
    }

    pub(crate) fn remove(&self, operator: Ipv4Addr) -> anyhow::Result<()> {
        self.edit(|operators| operators.retain(|other| *other != operator))
    }

    /// Writes the file in place: it is mounted.
    fn edit(&self, edit: impl FnOnce(&mut BTreeSet<Ipv4Addr>)) -> anyhow::Result<()> {
        let mut operators = self.operators.lock();
        edit(&mut operators);
        let mut text = "127.0.0.1 localhost\n".to_owned();
        text.extend(operators.iter().map(|address| format!("{address} {OPERATOR_HOST}\n")));
        let mut bytes = text.into_bytes();
        bytes.resize(HOSTS_FILE_BYTES, b'\n');
        let doing = || format!("writing {}", self.path.display());
        let file = File::options().create(true).truncate(false).write(true).open(&self.path);
        file.with_context(doing)?.write_all_at(&bytes, 0).with_context(doing)
    }
}

/// Arguments of `unshare` that run a program with this file mounted as `/etc/hosts`.
pub(crate) fn unshare_arguments<'a>(hosts: &'a Path, program: &'a Path) -> Vec<&'a str> {
    const MOUNT: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    let (hosts, program) = (utf8(hosts), utf8(program));
    vec!["--mount", "--propagation", "private", "sh", "-c", MOUNT, hosts, program]
}
