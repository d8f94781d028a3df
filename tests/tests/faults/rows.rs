//! The test of each row.

use super::Work;

pub(crate) const ROWS: [(&str, Work); 0] = [];
