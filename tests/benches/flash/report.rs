//! The table, and the JSON object behind it.

use serde_json::{Map, Value, json};

/// One table: figures down, stores or sizes across.
pub(crate) struct Section {
    /// Its name in the JSON object.
    pub(crate) key: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// What went wrong or was not measured.
    pub(crate) notes: Vec<String>,
}

/// One figure.
pub(crate) struct Row {
    /// Its name in the JSON object.
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    /// What the first column is to stay at or below.
    pub(crate) goal: Option<f64>,
    /// One value a column; none where it was not measured.
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) decimals: usize,
}

impl Row {
    /// Whether the first value, as it is shown, keeps to the goal.
    fn is_met(&self) -> Option<bool> {
        let shown = 10_f64.powi(i32::try_from(self.decimals).ok()?);
        let value = (*self.values.first()?)?;
        Some((value * shown).round() / shown <= self.goal?)
    }
}

const LABEL: usize = 46;
const WIDTH: usize = 11;

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
pub(crate) fn print(sections: &[Section], legend: &str, facts: &[(&str, Value)]) {
    for section in sections {
        println!("{}", section.text());
    }
    println!("{legend}");
    let mut object: Map<String, Value> =
        facts.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    object.extend(sections.iter().map(|section| (section.key.to_owned(), section.json())));
    println!("{}", Value::Object(object));
}

impl Section {
    fn text(&self) -> String {
        let goals = self.rows.iter().any(|row| row.goal.is_some());
        let mut text = format!("{}\n{:LABEL$}", self.title, "");
        if goals {
            text += &format!("{:>8} {:>7}", "goal", "");
        }
        for column in &self.columns {
            text += &format!(" {column:>WIDTH$}");
        }
        for row in &self.rows {
            text += &format!("\n  {:<1$}", row.label, LABEL - 2);
            if goals {
                let goal = row.goal.map_or(String::new(), |goal| format!("{goal}"));
                let met = row.is_met().map_or("", |met| if met { "met" } else { "missed" });
                text += &format!("{goal:>8} {met:>7}");
            }
            for (value, column) in row.values.iter().zip(&self.columns) {
                // A longer heading has moved what follows it.
                let width = WIDTH.max(column.len());
                let value = value.map_or("-".to_owned(), |v| format!("{v:.0$}", row.decimals));
                text += &format!(" {value:>width$}");
            }
        }
        for note in &self.notes {
            text += &format!("\n  ! {note}");
        }
        text + "\n"
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        for row in &self.rows {
            let mut figure: Map<String, Value> = self
                .columns
                .iter()
                .zip(&row.values)
                .map(|(column, value)| (column.clone(), json!(value)))
                .collect();
            if let Some(goal) = row.goal {
                figure.insert("goal".to_owned(), json!(goal));
                figure.insert("met".to_owned(), json!(row.is_met()));
            }
            object.insert(row.key.to_owned(), Value::Object(figure));
        }
        if !self.notes.is_empty() {
            object.insert("notes".to_owned(), json!(self.notes));
        }
        Value::Object(object)
    }
}
