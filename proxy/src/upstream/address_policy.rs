//! Which addresses upstreams may have.
//!
//! Who writes a provider's host, or answers for its name, is not always trusted with the machine
//! the proxy runs on. So in a cluster an address is looked at after a name was looked up, right
//! before it is connected to: what a name says is not what it leads to. Private networks are
//! where providers inside of the cluster are; a NetworkPolicy says which of them may be reached.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Which addresses upstreams may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every address: who names upstreams has this machine anyway.
    Anywhere,
    /// Every address but those that lead to this machine, to its link, or to many.
    Beyond,
}

/// Why an address is not connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Near {
    /// No address: the system takes it for its own.
    Unspecified,
    /// This machine.
    Loopback,
    /// Whoever is next to this machine, such as a cloud's metadata.
    LinkLocal,
    /// Many at once.
    Multicast,
    /// A cloud's metadata or control, at an address that looks like any other.
    Metadata,
}

/// Why an endpoint has no address.
#[derive(Debug, thiserror::Error)]
pub enum NoAddress {
    /// No address for its name.
    #[error("looking up the endpoint's address")]
    Lookup(#[source] io::Error),
    /// None that upstreams may have.
    #[error(
        "the endpoint is at {address}, which is {near} and not for upstreams; name another host, \
         or start the proxy with --allow-local-upstreams"
    )]
    Near {
        /// The first one.
        address: IpAddr,
        /// What it is.
        near: Near,
    },
}

/// Of clouds whose metadata is not on the link: Google and Scaleway over IPv6, Azure, Alibaba,
/// Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

impl Reach {
    /// The first of these addresses that an upstream may have.
    ///
    /// # Errors
    /// [`NoAddress`] if there is none.
    pub fn choose(
        self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<SocketAddr, NoAddress> {
        let mut refused = None;
        for address in addresses {
            match self.near(address.ip()) {
                Some(near) => refused = refused.or(Some((address.ip(), near))),
                None => return Ok(address),
            }
        }
        Err(match refused {
            Some((address, near)) => NoAddress::Near { address, near },
            None => NoAddress::Lookup(io::ErrorKind::NotFound.into()),
        })
    }

    fn near(self, address: IpAddr) -> Option<Near> {
        match self {
            Self::Anywhere => None,
            Self::Beyond if METADATA.contains(&address) => Some(Near::Metadata),
            Self::Beyond => match address {
                IpAddr::V4(address) => near_v4(address),
                // What is wrapped is where a packet may end up.
                IpAddr::V6(address) => near_v6(address)
                    .or_else(|| self.near(wrapped(address)?.into()))
                    .or_else(|| near_behind_local_nat64(address)),
            },
        }
    }
}

fn near_v4(address: Ipv4Addr) -> Option<Near> {
    // The whole network 0.0.0.0/8 means "this one".
    if address.octets().starts_with(&[0]) {
        return Some(Near::Unspecified);
    }
    if address.is_loopback() {
        return Some(Near::Loopback);
    }
    if address.is_link_local() {
        return Some(Near::LinkLocal);
    }
    (address.is_multicast() || address.is_broadcast()).then_some(Near::Multicast)
}

fn near_v6(address: Ipv6Addr) -> Option<Near> {
    // AWS has its metadata, and more of what is for one machine alone, in fd00:ec2::/32.
    if address.segments().starts_with(&[0xfd00, 0xec2]) {
        return Some(Near::Metadata);
    }
    if address.is_unspecified() {
        return Some(Near::Unspecified);
    }
    if address.is_loopback() {
        return Some(Near::Loopback);
    }
    if address.is_unicast_link_local() {
        return Some(Near::LinkLocal);
    }
    address.is_multicast().then_some(Near::Multicast)
}

/// NAT64 with a prefix for local use (RFC 8215). How long that is, and so where the IPv4 address
/// is (RFC 6052, 2.2), only the network's owner knows: none of the places may hold one that is
/// near. Those that hold nothing look unspecified.
fn near_behind_local_nat64(address: Ipv6Addr) -> Option<Near> {
    let [0, 0x64, 0xff, 0x9b, 0, 1, a, b, _, c, d, e, f, g, h, i] = address.octets() else {
        return None;
    };
    let inner = [[a, b, c, d], [b, c, d, e], [c, d, e, f], [f, g, h, i]];
    let near = inner.map(|octets| Reach::Beyond.near(Ipv4Addr::from_octets(octets).into()));
    let is_nowhere = near == [Some(Near::Unspecified); 4];
    near.into_iter().flatten().find(|near| is_nowhere || *near != Near::Unspecified)
}

/// The IPv4 address that an IPv6 address stands for.
fn wrapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // Compatible and mapped (RFC 4291), translated (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64 at the well-known prefix (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "no address",
            Self::Loopback => "this machine",
            Self::LinkLocal => "link-local",
            Self::Multicast => "for many",
            Self::Metadata => "a cloud's metadata",
        })
    }
}

#[cfg(test)]
mod tests;
