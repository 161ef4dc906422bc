//! What the standard library would bring along, at a fifth of its size.
//!
//! A panic is a trap: the host throws the instance away and starts another from storage. Nobody
//! could read a text, since a component without WASI has nowhere to write it; and where no text is
//! written, the compiler leaves the code out that would put it together.

use core::panic::PanicInfo;

use dlmalloc::GlobalDlmalloc;

#[global_allocator]
static ALLOCATOR: GlobalDlmalloc = GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
