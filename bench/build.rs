//! Compiles the kernel programs of the benchmark.

#[path = "../enforcer-ebpf/object.rs"]
mod object;

fn main() {
    object::make(&object::Programs {
        package: "enforcer-bench-programs",
        sources: &["bench/programs", "enforcer-ebpf/src", "enforcer-ebpf/Cargo.toml"],
        variable: "ENFORCER_BENCH_OBJECT",
    });
}
