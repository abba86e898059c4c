//! Tells the linker what it would not do by itself.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // Flags of rust-lld, which is the linker of this target.
    if of("TARGET") != "x86_64-unknown-linux-gnu" || of("PROFILE") != "release" {
        return;
    }
    // The code of generic types repeats itself: folding what is alike keeps fewer pages of a server in memory.
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    // Six megabytes of relocations are read at every start and stay; packed they are a tenth of one.
    if glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the C library, which must know packed relocations.
fn glibc() -> Option<(u32, u32)> {
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
