//! A small HTTP server that tests run in Pods.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};

const PORT: u16 = 8080;

fn main() -> io::Result<()> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request)?;
        writeln!(io::stdout(), "asked for {}", request.trim_end())?;
        // The peer may be gone already.
        drop(write!(stream, "HTTP/1.0 200 OK\r\n\r\nhello from {host}"));
    }
    Ok(())
}
