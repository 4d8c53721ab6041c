//! Panics of the system on trial: findings, not crashes of the tool, and not lines on its terminal.

use std::{any::Any, cell::Cell, panic, sync::Once};

use super::disk::IgnoredDeath;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs code of the system on trial, whose panics are caught by the caller and need no message of their own.
pub(crate) fn quietly<T>(run: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = run();
    QUIET.set(before);
    result
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    if panic.is::<IgnoredDeath>() {
        return "went on calling the disk after its death".into();
    }
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".into())
}
