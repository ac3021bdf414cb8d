//! The simulated server from outside: what a client and a gateway see.

#[cfg(test)]
mod support;
#[cfg(test)]
mod chat;
#[cfg(test)]
mod apis;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod load;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod record;
#[cfg(test)]
mod program;
