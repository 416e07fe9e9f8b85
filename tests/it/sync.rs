//! The library's short locks, as a model checker schedules them. The part of the library that `slot_schedules` compiles anew
//! finds them under the name that they have in the library.

use shuttle::sync::Mutex;

#[derive(Default)]
pub(crate) struct Shared<T>(Mutex<T>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut self.0.lock().expect("nobody panics with the lock"))
    }
}
