//! Compiles `push.proto`, in Rust alone: no `protoc` is needed.

#[cfg(not(feature = "push"))]
fn main() {}

#[cfg(feature = "push")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let descriptors = protox::compile(["push.proto"], [folder])?;
    tonic_prost_build::configure()
        .bytes(".llm.push.v1.Resource.document")
        .skip_debug([".llm.push.v1.Resource"])
        .build_transport(false)
        .compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed=proto/push.proto");
    Ok(())
}
