//! The bytes of a connection, and how a fault gets at them.
//!
//! HTTP is hyper's; what HTTP libraries refuse to do wrong happens below it: resets,
//! dripping, a byte budget, bytes that are no HTTP.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::clock;

/// Between the last byte a fault lets through and the cut, so that the other side
/// has read it: a reset overtakes what is still on the way.
const CUT_GRACE: Duration = Duration::from_millis(20);

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As a process ends that exits: the other side reads an end of file.
    Close,
    /// As a host that lost the connection: the other side reads "connection reset".
    Reset,
}

/// Plain or encrypted.
pub(crate) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What happens to the bytes a reply is made of.
#[derive(Debug)]
pub(crate) enum Mode {
    Plain,
    /// One byte at a time until the head is over; `seen` counts its closing line breaks.
    Drip {
        every: Duration,
        seen: u8,
    },
    /// So many bytes, then a reset.
    Budget(usize),
    /// These bytes instead of the reply, then the connection closes.
    InsteadAndClose(Bytes),
    /// These bytes instead of the reply; the connection lives on.
    Instead(Bytes),
}

/// What a handler can do to the connection its request came on.
#[derive(Debug)]
pub(crate) struct Control {
    mode: Mutex<Mode>,
    ending: Mutex<Option<Ending>>,
    ended: Notify,
}

impl Control {
    pub(crate) fn new() -> Self {
        Self { mode: Mutex::new(Mode::Plain), ending: Mutex::new(None), ended: Notify::new() }
    }

    /// From now on; a new request starts plain again.
    pub(crate) fn set(&self, mode: Mode) {
        *self.mode() = mode;
    }

    /// Cuts the connection, a moment later.
    pub(crate) fn end(&self, ending: Ending) {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
        self.ended.notify_one();
    }

    /// Waits until the connection is cut.
    pub(crate) async fn cut(&self) {
        self.ended.notified().await;
        sleep(CUT_GRACE).await;
    }

    fn mode(&self) -> MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resets(&self) -> bool {
        let ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        *ending == Some(Ending::Reset)
    }
}

/// Makes closing the socket send a reset.
pub(crate) fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_linger(Some(Duration::ZERO))
}

/// A transport under the control of its connection's handlers.
pub(crate) struct Wire {
    transport: Transport,
    control: Arc<Control>,
    timer: Pin<Box<Sleep>>,
}

impl Wire {
    pub(crate) fn new(transport: Transport, control: Arc<Control>) -> Self {
        Self { transport, control, timer: Box::pin(sleep(Duration::ZERO)) }
    }

    /// Writes from `bytes` until none are left.
    fn poll_instead(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        while bytes.has_remaining() {
            let sent = ready!(self.transport.poll_write(cx, bytes))?;
            bytes.advance(sent);
        }
        self.transport.poll_flush(cx)
    }

    fn poll_drip(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
        every: Duration,
        seen: &mut u8,
    ) -> Poll<io::Result<usize>> {
        ready!(self.timer.as_mut().poll(cx));
        let Some(byte) = buf.first() else { return Poll::Ready(Ok(0)) };
        let sent = ready!(self.transport.poll_write(cx, &[*byte]))?;
        *seen = match byte {
            b'\n' => *seen + 1,
            b'\r' => *seen,
            _ => 0,
        };
        self.timer.as_mut().reset(clock::now() + every);
        Poll::Ready(Ok(sent))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.control.resets() {
            // If the socket is gone already there is nothing left to reset.
            let _already_closed = reset_on_close(self.transport.socket());
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let control = self.control.clone();
        let mut mode = control.mode();
        match &mut *mode {
            Mode::Plain => self.transport.poll_write(cx, buf),
            Mode::Drip { every, seen } => {
                let sent = ready!(self.poll_drip(cx, buf, *every, seen))?;
                if *seen == 2 {
                    *mode = Mode::Plain;
                }
                Poll::Ready(Ok(sent))
            }
            Mode::Budget(0) => {
                control.end(Ending::Reset);
                Poll::Pending
            }
            Mode::Budget(left) => {
                let allowed = buf.get(..*left).unwrap_or(buf);
                let sent = ready!(self.transport.poll_write(cx, allowed))?;
                *left -= sent;
                Poll::Ready(Ok(sent))
            }
            Mode::InsteadAndClose(bytes) => {
                ready!(self.poll_instead(cx, bytes))?;
                control.end(Ending::Close);
                Poll::Pending
            }
            Mode::Instead(bytes) => {
                ready!(self.poll_instead(cx, bytes))?;
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.transport.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl Transport {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }
}
