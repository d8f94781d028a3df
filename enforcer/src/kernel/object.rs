//! The kernel programs as they are in this program's file.

use aya_obj::Object;
use rustix::mm::{Advice, madvise};
use rustix::param::page_size;

use super::error::KernelError;

/// The kernel programs, as the build script made them.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ENFORCER_EBPF_OBJECT"));

/// What they are made of, as far as it can be told without the kernel. Takes a few milliseconds.
pub(super) fn parsed() -> Result<Object, KernelError> {
    Object::parse(OBJECT).map_err(|error| KernelError::Object(error.into()))
}

/// Takes the pages of the object out of the memory of this process. Who reads it again gets them from the file.
pub(crate) fn let_go_of_object() {
    let page = page_size();
    let first = OBJECT.as_ptr().align_offset(page);
    let Some(whole) = OBJECT.get(first..) else { return };
    let length = whole.len() - whole.len() % page;
    // SAFETY: the pages lie within the object, which has constants alone in it and nothing that the linker fills in when
    // the program starts: what is read there next comes from the file again, unchanged (madvise(2), MADV_DONTNEED on a
    // private mapping of a file).
    let outcome = unsafe { madvise(whole.as_ptr().cast_mut().cast(), length, Advice::LinuxDontNeed) };
    debug_assert!(outcome.is_ok(), "pages of this program");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A loader without the kernel's types would load them wrong, and not say so.
    #[test]
    fn the_programs_refer_to_no_types_of_the_kernel() {
        assert!(!parsed().unwrap().has_btf_relocations());
    }

    #[test]
    fn the_object_is_the_same_after_it_was_let_go() {
        let before = OBJECT.to_vec();
        let_go_of_object();
        assert!(before == OBJECT);
    }
}
