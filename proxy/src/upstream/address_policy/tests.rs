use super::*;
use proptest::prelude::*;
use url::{Host, Url};

/// The address that a URL with this host names; `None` for a domain.
fn address(host: &str) -> Option<IpAddr> {
    match Url::parse(&format!("http://{host}/")).ok()?.host()?.to_owned() {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

fn denied(host: &str) -> Option<DeniedRange> {
    AddressPolicy::DenyLocal.denied_range(address(host).unwrap())
}

#[test]
fn local_multicast_and_metadata_addresses_are_denied() {
    for (host, expected) in [
        ("127.0.0.1", DeniedRange::Loopback),
        ("127.255.255.254", DeniedRange::Loopback),
        ("[::1]", DeniedRange::Loopback),
        ("[::ffff:127.0.0.1]", DeniedRange::Loopback),
        ("[::ffff:0:127.0.0.1]", DeniedRange::Loopback),
        ("[::127.0.0.1]", DeniedRange::Loopback),
        ("[64:ff9b::7f00:1]", DeniedRange::Loopback),
        ("[64:ff9b:1::127.0.0.1]", DeniedRange::Loopback),
        ("[64:ff9b:1:7f00:0:100::]", DeniedRange::Loopback),
        ("[64:ff9b:1:7f:0:1::]", DeniedRange::Loopback),
        ("[64:ff9b:1:0:7f:0:100::]", DeniedRange::Loopback),
        ("[64:ff9b:1:a9fe:a9:fe00::]", DeniedRange::LinkLocal),
        ("[2002:7f00:1::]", DeniedRange::Loopback),
        ("0.0.0.0", DeniedRange::Unspecified),
        ("0.1.2.3", DeniedRange::Unspecified),
        ("[::]", DeniedRange::Unspecified),
        ("[::ffff:0.0.0.0]", DeniedRange::Unspecified),
        ("169.254.169.254", DeniedRange::LinkLocal),
        ("[::ffff:a9fe:a9fe]", DeniedRange::LinkLocal),
        ("[64:ff9b::169.254.169.254]", DeniedRange::LinkLocal),
        ("[fe80::1]", DeniedRange::LinkLocal),
        ("[febf::1]", DeniedRange::LinkLocal),
        ("224.0.0.1", DeniedRange::Multicast),
        ("239.255.255.255", DeniedRange::Multicast),
        ("255.255.255.255", DeniedRange::Multicast),
        ("[ff02::1]", DeniedRange::Multicast),
        ("[fd00:ec2::254]", DeniedRange::Metadata),
        ("[fd00:ec2::23]", DeniedRange::Metadata),
        ("[fd20:ce::254]", DeniedRange::Metadata),
        ("[fd00:42::42]", DeniedRange::Metadata),
        ("192.0.0.192", DeniedRange::Metadata),
        ("168.63.129.16", DeniedRange::Metadata),
        ("[::ffff:100.100.100.200]", DeniedRange::Metadata),
    ] {
        assert_eq!(denied(host), Some(expected), "{host}");
    }
}

#[test]
fn public_and_private_addresses_are_allowed() {
    for host in [
        "1.1.1.1",
        "10.0.0.1",
        "100.64.0.1",
        "128.0.0.1",
        "169.253.255.255",
        "172.16.0.1",
        "192.168.0.1",
        "223.255.255.255",
        "240.0.0.1",
        "[2606:4700::1111]",
        "[fd00::1]",
        "[fec0::1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::1.1.1.1]",
        "[64:ff9b:1::1.1.1.1]",
        "[64:ff9b:1:101:1:100::]",
    ] {
        assert_eq!(denied(host), None, "{host}");
    }
}

#[test]
fn the_first_allowed_address_is_chosen() {
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let answer = [at("127.0.0.1:80"), at("10.0.0.1:80"), at("10.0.0.2:80")];
    assert_eq!(AddressPolicy::DenyLocal.choose(answer).unwrap(), at("10.0.0.1:80"));
    assert_eq!(AddressPolicy::AllowAll.choose(answer).unwrap(), at("127.0.0.1:80"));
    let denied = AddressPolicy::DenyLocal.choose([at("[::1]:80"), at("127.0.0.1:80")]).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "the endpoint's address ::1 is loopback, which upstreams may not have; use another host, \
         or start the proxy with --allow-local-upstreams"
    );
    assert!(matches!(AddressPolicy::DenyLocal.choose([]), Err(ResolveError::Lookup(_))));
}

/// The ways to write an IPv4 address, and to embed it in an IPv6 one.
fn spellings(address: Ipv4Addr) -> Vec<String> {
    let ([a, b, c, d], bits) = (address.octets(), address.to_bits());
    let (high, low) = (bits >> 16, bits & 0xffff);
    vec![
        format!("{address}"),
        format!("{address}."),
        format!("{bits}"),
        format!("0x{bits:x}"),
        format!("0{bits:o}"),
        format!("{a}.{}", bits & 0x00ff_ffff),
        format!("{a}.{b}.{low}"),
        format!("0{a:o}.0x{b:x}.{c}.0{d:o}"),
        format!("0{a:o}.0x{:X}", bits & 0x00ff_ffff),
        format!("%3{}{}", a.to_string().chars().next().unwrap(), address.to_string().split_at(1).1),
        format!("[::{address}]"),
        format!("[::ffff:{address}]"),
        format!("[::FFFF:{high:X}:{low:X}]"),
        format!("[0:0:0:0:0:ffff:{high:04x}:{low:04x}]"),
        format!("[::ffff:0:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[64:ff9b::{high:x}:{low:x}]"),
        format!("[64:ff9b:1::{address}]"),
        format!("[2002:{high:x}:{low:x}::1]"),
    ]
}

fn denied_v4_address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(127, b, c, d)),
        any::<[u8; 3]>().prop_map(|[b, c, d]| Ipv4Addr::new(0, b, c, d)),
        any::<[u8; 2]>().prop_map(|[c, d]| Ipv4Addr::new(169, 254, c, d)),
        (224..=239_u8, any::<[u8; 3]>()).prop_map(|(a, [b, c, d])| Ipv4Addr::new(a, b, c, d)),
        Just(Ipv4Addr::BROADCAST),
    ]
}

fn denied_v6_address() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(0xfe80 << 112 | bits >> 10)),
        any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(0xff << 120 | bits >> 8)),
        Just(Ipv6Addr::LOCALHOST),
        Just(Ipv6Addr::UNSPECIFIED),
    ]
}

proptest! {
    #[test]
    fn no_spelling_of_a_denied_ipv4_address_is_allowed(address in denied_v4_address()) {
        for host in spellings(address) {
            prop_assert!(denied(&host).is_some(), "{}", host);
        }
    }

    #[test]
    fn no_spelling_of_a_denied_ipv6_address_is_allowed(address in denied_v6_address()) {
        let segments = address.segments().map(|it| format!("{it:04X}")).join(":");
        for host in [format!("[{address}]"), format!("[{segments}]")] {
            prop_assert!(denied(&host).is_some(), "{}", host);
        }
    }
}
