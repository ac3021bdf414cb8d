//! Pushes the operator's route table to the proxies, and tracks what each has applied.
//!
//! [`DocumentStore`] holds the compiled table and a log of its changes; a subscriber is sent what
//! changed since the table it has. [`Push`] serves it over gRPC, [`ProxyRegistry`] holds what the
//! proxies report, and [`Authority`] issues the serving certificate. Nothing here knows Kubernetes:
//! the operator publishes the table, and an [`Authenticate`] verifies tokens.
//!
//! ```no_run
//! use jiff::Timestamp;
//! use llm_push::{Authenticate, Authority, ServingCertificate, Push, PushLimits, RotationStep, next_step};
//!
//! # async fn run(
//! #     tokens: impl Authenticate,
//! #     compiled: llm_contract::push::Change,
//! #     instant: std::time::Instant,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let (stored, now) = (None, Timestamp::now());
//! let step = next_step(stored.as_ref(), now);
//! assert_eq!(step, RotationStep::Create);
//! let authority = Authority::advance(stored, step, now)?; // and is stored before it is used
//! let certificate = ServingCertificate::new(authority.issue(&["llm-operator.llm.svc".into()], now)?);
//! let push = Push::new(tokens, PushLimits::default());
//! push.table().publish(compiled, instant);
//! let listener = tokio::net::TcpListener::bind("[::]:8443").await?;
//! push.serve(listener, certificate, Default::default()).await?;
//! # Ok(())
//! # }
//! ```

mod ack;
mod authenticate;
mod authority;
mod certificate;
mod clock;
mod connection;
mod key_usage;
mod limits;
mod open_streams;
mod oversized;
mod preauth_limit;
mod proxy_state;
mod proxy_status;
mod registry;
mod server;
mod session;
mod state;
mod stats;
mod store;

pub use authenticate::{Authenticate, AuthenticateError, Peer, PeerIdentity};
pub use authority::{Authority, InvalidAuthority, RotationStep, next_step};
pub use certificate::{IssueError, IssuedCertificate, ServingCertificate};
pub use key_usage::KeyUsage;
pub use limits::PushLimits;
pub use oversized::TooLarge;
pub use proxy_status::{ChangedDocuments, Programmed, ProxyStatus, RejectedBy};
pub use registry::ProxyRegistry;
pub use server::Push;
pub use stats::Stats;
pub use store::{Delta, DocumentStore, PublishOutcome};
