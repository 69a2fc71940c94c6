//! With what agents a link's day was clicked: one document in PostgreSQL, rows of shares in SQLite, and one text between them.

use std::collections::BTreeMap;

use knurl_core::stats::Dimension;

use super::row::Value;
use crate::{StoreError, roll_up::number, store::Result};

/// By dimension (all but referrers) and value, both ascending: the same clicks are always the same text.
type Agents = BTreeMap<String, BTreeMap<String, i64>>;

/// `[[1,"human",3],[2,"firefox",3]]`: dimension, value, total.
pub(crate) fn from_rows(rows: Option<&Value>) -> Result<Value> {
    let Some(Value::Text(rows)) = rows else { return Err(damaged()) };
    let rows: Vec<(i64, String, i64)> = serde_json::from_str(rows).map_err(|_| damaged())?;
    let mut agents = Agents::new();
    for (of, value, total) in rows {
        let dimension = Dimension::ALL.into_iter().find(|dimension| number(*dimension) == of).ok_or_else(damaged)?;
        agents.entry(dimension.as_str().to_owned()).or_default().insert(value, total);
    }
    write(&agents)
}

pub(crate) fn to_rows(agents: &Value) -> Result<Vec<(i64, String, i64)>> {
    let mut rows = Vec::new();
    for (name, values) in read(agents)? {
        let dimension = Dimension::ALL.into_iter().find(|dimension| dimension.as_str() == name).map(number).ok_or_else(damaged)?;
        rows.extend(values.into_iter().map(|(value, total)| (dimension, value, total)));
    }
    Ok(rows)
}

/// As PostgreSQL writes it, in whatever order.
pub(crate) fn from_document(document: &Value) -> Result<Value> {
    let mut agents = read(document)?;
    agents.retain(|_, values| !values.is_empty());
    write(&agents)
}

fn read(agents: &Value) -> Result<Agents> {
    let Value::Text(text) = agents else { return Err(damaged()) };
    serde_json::from_str(text).map_err(|_| damaged())
}

fn write(agents: &Agents) -> Result<Value> {
    serde_json::to_string(agents).map(Value::Text).map_err(|error| StoreError::Internal(Box::new(error)))
}

fn damaged() -> StoreError {
    StoreError::Corrupt("the agents of a day cannot be read".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_document_of_the_same_clicks_are_the_same_text() {
        let text = |text: &str| Value::Text(text.to_owned());
        let rows = from_rows(Some(&text(r#"[[2,"firefox",3],[1,"human",2],[1,"bot",1]]"#))).unwrap();
        let document = text(r#"{"browser": {"firefox": 3}, "agent": {"human": 2, "bot": 1}, "os": {}}"#);
        let (agent, browser) = (Dimension::AgentClass.as_str(), Dimension::Browser.as_str());
        let document = match document {
            Value::Text(text) => {
                Value::Text(text.replace("\"agent\"", &format!("\"{agent}\"")).replace("\"browser\"", &format!("\"{browser}\"")))
            }
            other => other,
        };
        assert_eq!(from_document(&document).unwrap(), rows);
        assert_eq!(to_rows(&rows).unwrap(), [(1, "bot".to_owned(), 1), (1, "human".to_owned(), 2), (2, "firefox".to_owned(), 3)]);
        assert!(from_document(&Value::Null).is_err() && from_rows(Some(&text("{}"))).is_err());
    }
}
