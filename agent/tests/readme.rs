//! The README's table of faults is the one that the agent speaks from.

use signpost_core::fault::Fault;

#[test]
fn the_readme_lists_every_fault_as_it_is() {
    let readme = include_str!("../../README.md");
    let rows = Fault::ALL.map(|fault| {
        let row = fault.row();
        format!("| {} | {} | {} | {} |\n", row.code, row.title, row.class.name(), row.advice)
    });
    let table =
        format!("| code | title | who acts | what to do |\n|---|---|---|---|\n{}", rows.concat());
    assert!(readme.contains(&table), "put this into README.md:\n{table}");
}
