//! Compiles the kernel programs.

#[path = "../enforcer-ebpf/object.rs"]
mod object;

fn main() {
    object::make(&object::Programs {
        package: "enforcer-ebpf",
        sources: &["enforcer-ebpf/src", "enforcer-ebpf/Cargo.toml"],
        variable: "ENFORCER_EBPF_OBJECT",
    });
}
