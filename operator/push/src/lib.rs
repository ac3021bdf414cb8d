//! Brings the operator's route table to the proxies, and knows what each has in force.
//!
//! [`Table`] holds what is compiled now and the names of what changed lately, so that a follower
//! is sent what changed since the table it has, however many changes that were. [`Push`] serves
//! it to proxies; [`Proxies`] knows what they answered. [`Authority`] makes the certificates with
//! which it is served. Nothing here knows Kubernetes: whoever compiles the table publishes it, and
//! an [`Authenticate`] says whose a token is.
//!
//! ```no_run
//! use jiff::Timestamp;
//! use llm_push::{Authenticate, Authority, Certificate, Limits, Push, Step, decide};
//!
//! # async fn run(
//! #     tokens: impl Authenticate,
//! #     compiled: llm_contract::push::Change,
//! #     instant: std::time::Instant,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let (stored, now) = (None, Timestamp::now());
//! let authority = match decide(stored.as_ref(), now) {
//!     step @ (Step::Make | Step::Prepare | Step::Promote | Step::Retire) => {
//!         Authority::after(stored, step, now)? // and is stored before it is used
//!     }
//!     Step::Keep { .. } => unreachable!("nothing is stored"),
//! };
//! let certificate = Certificate::new(authority.issue(&["llm-operator.llm.svc".into()], now)?);
//! let push = Push::new(tokens, Limits::default());
//! push.table().publish(compiled, instant);
//! let listener = tokio::net::TcpListener::bind("[::]:8443").await?;
//! push.serve(listener, certificate, Default::default()).await?;
//! # Ok(())
//! # }
//! ```

mod authenticate;
mod authority;
mod certificate;
mod clock;
mod course;
mod held_back;
mod in_force;
mod limits;
mod numbers;
mod proxies;
mod server;
mod session;
mod strangers;
mod table;
mod uses;

pub use authenticate::{Authenticate, Denied, Peer, Who};
pub use authority::{Authority, InvalidAuthority, Step, decide};
pub use certificate::{Certificate, Issued, NotIssued};
pub use limits::Limits;
pub use numbers::{Lag, Numbers};
pub use proxies::{Changed, Programmed, Proxies, ProxyStatus, RefusedBy};
pub use server::Push;
pub use table::{Delta, Published, Table, TooLarge};
pub use uses::Uses;
