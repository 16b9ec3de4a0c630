//! Panels, on emulated terminals and real ptys.
