//! Which addresses upstreams may have.
//!
//! The author of a provider's host, or the owner of its DNS name, is not always trusted with the
//! machine the proxy runs on. So in a cluster an address is checked after its name was looked up,
//! right before connecting: the name proves nothing. Private networks are allowed, since providers
//! inside the cluster are there; a NetworkPolicy says which of them can be reached.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressPolicy {
    /// For installations where the author of the routes controls this machine anyway.
    AllowAll,
    /// Denies every [`DeniedRange`].
    DenyLocal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedRange {
    /// The system takes it for its own.
    Unspecified,
    Loopback,
    /// Where most clouds keep their metadata.
    LinkLocal,
    /// Broadcast included.
    Multicast,
    /// A cloud's metadata or control plane, at an address that looks like any other.
    Metadata,
}

/// Why an endpoint has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("looking up the endpoint's address")]
    Lookup(#[source] io::Error),
    #[error(
        "the endpoint's address {address} is {range}, which upstreams may not have; use another \
         host, or start the proxy with --allow-local-upstreams"
    )]
    Denied { address: IpAddr, range: DeniedRange },
}

/// Metadata outside of link-local ranges: Google and Scaleway over IPv6, Azure, Alibaba, Oracle.
const METADATA: [IpAddr; 5] = [
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

impl AddressPolicy {
    /// The first allowed address.
    pub fn choose(
        self,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<SocketAddr, ResolveError> {
        let mut denied = None;
        for address in addresses {
            match self.denied_range(address.ip()) {
                Some(range) => denied = denied.or(Some((address.ip(), range))),
                None => return Ok(address),
            }
        }
        Err(match denied {
            Some((address, range)) => ResolveError::Denied { address, range },
            None => ResolveError::Lookup(io::ErrorKind::NotFound.into()),
        })
    }

    fn denied_range(self, address: IpAddr) -> Option<DeniedRange> {
        match self {
            Self::AllowAll => None,
            Self::DenyLocal if METADATA.contains(&address) => Some(DeniedRange::Metadata),
            Self::DenyLocal => match address {
                IpAddr::V4(address) => denied_v4(address),
                // A packet may end up at the embedded address.
                IpAddr::V6(address) => denied_v6(address)
                    .or_else(|| self.denied_range(embedded_v4(address)?.into()))
                    .or_else(|| denied_behind_local_nat64(address)),
            },
        }
    }
}

fn denied_v4(address: Ipv4Addr) -> Option<DeniedRange> {
    first_match([
        // The whole network 0.0.0.0/8 means "this one".
        (address.octets().starts_with(&[0]), DeniedRange::Unspecified),
        (address.is_loopback(), DeniedRange::Loopback),
        (address.is_link_local(), DeniedRange::LinkLocal),
        (address.is_multicast() || address.is_broadcast(), DeniedRange::Multicast),
    ])
}

fn denied_v6(address: Ipv6Addr) -> Option<DeniedRange> {
    first_match([
        // AWS has its metadata, and other services for one machine alone, in fd00:ec2::/32.
        (address.segments().starts_with(&[0xfd00, 0xec2]), DeniedRange::Metadata),
        (address.is_unspecified(), DeniedRange::Unspecified),
        (address.is_loopback(), DeniedRange::Loopback),
        (address.is_unicast_link_local(), DeniedRange::LinkLocal),
        (address.is_multicast(), DeniedRange::Multicast),
    ])
}

fn first_match<const N: usize>(ranges: [(bool, DeniedRange); N]) -> Option<DeniedRange> {
    ranges.into_iter().find_map(|(is_match, range)| is_match.then_some(range))
}

/// NAT64 with a prefix for local use (RFC 8215). Its length, and so the position of the IPv4
/// address (RFC 6052, 2.2), is known to the network's owner only: no position may hold a denied
/// address. Empty ones look unspecified.
fn denied_behind_local_nat64(address: Ipv6Addr) -> Option<DeniedRange> {
    let [0, 0x64, 0xff, 0x9b, 0, 1, a, b, _, c, d, e, f, g, h, i] = address.octets() else {
        return None;
    };
    let inner = [[a, b, c, d], [b, c, d, e], [c, d, e, f], [f, g, h, i]];
    let ranges = inner
        .map(|octets| AddressPolicy::DenyLocal.denied_range(Ipv4Addr::from_octets(octets).into()));
    let is_empty = ranges == [Some(DeniedRange::Unspecified); 4];
    ranges.into_iter().flatten().find(|range| is_empty || *range != DeniedRange::Unspecified)
}

/// The IPv4 address inside an IPv6 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
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

impl fmt::Display for DeniedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
            Self::Metadata => "a cloud metadata service",
        })
    }
}

#[cfg(test)]
mod tests;
