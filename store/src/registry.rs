//! The registry as an operator sees it: devices by search, tags, and groups that are searches with a name.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::devices::device;
use crate::rooms::expect_version;
use crate::sql::{Conditions, Param, Row, params, placeholders};
use crate::users::{fold, user_of};
use crate::{Device, Page, PageRequest, Result, Store, StoreError, User};

/// Which devices are looked for; all that is said has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceQuery {
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this batch.
    pub batch: Option<String>,
    /// Of this owner.
    pub owner: Option<Uuid>,
    /// Connected, or not.
    pub online: Option<bool>,
    /// With an owner, or without.
    pub claimed: Option<bool>,
    /// With a certificate, or never had one.
    pub enrolled: Option<bool>,
    /// Out of service, or not.
    pub retired: Option<bool>,
    /// Each is a part of the name, or the beginning of the id.
    pub words: Vec<String>,
}

impl DeviceQuery {
    /// The most terms in one query.
    pub const TERMS_MAX: usize = 16;

    /// Reads `tag:kitchen model:washer online:false front`, as a person types it.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        let terms: Vec<&str> = text.split_whitespace().collect();
        if terms.len() > Self::TERMS_MAX {
            return Err(format!("a query has at most {} terms", Self::TERMS_MAX));
        }
        for term in terms {
            query.add(term)?;
        }
        Ok(query)
    }

    fn add(&mut self, term: &str) -> Result<(), String> {
        let yes_or_no = |value: &str| match value {
            "true" | "yes" => Ok(Some(true)),
            "false" | "no" => Ok(Some(false)),
            _ => Err(format!("{term:?}: yes or no is meant")),
        };
        match term.split_once(':') {
            Some(("tag", tag)) => self.tags.push(tag.to_owned()),
            Some(("model", model)) => self.model = Some(model.to_owned()),
            Some(("batch", batch)) => self.batch = Some(batch.to_owned()),
            Some(("owner", id)) => {
                self.owner = Some(id.parse().map_err(|_| format!("{term:?}: a user's id is meant"))?);
            }
            Some(("online", value)) => self.online = yes_or_no(value)?,
            Some(("claimed", value)) => self.claimed = yes_or_no(value)?,
            Some(("enrolled", value)) => self.enrolled = yes_or_no(value)?,
            Some(("retired", value)) => self.retired = yes_or_no(value)?,
            Some((key, _)) => {
                let keys = "tag, model, batch, owner, online, claimed, enrolled, retired";
                return Err(format!("{key:?} is no term of a query: there are {keys}"));
            }
            None => self.words.push(term.to_owned()),
        }
        Ok(())
    }
}

/// A search with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceGroup {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What [`DeviceQuery::parse`] reads.
    pub query: String,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// The most tags of one device.
pub const TAGS_MAX: usize = 32;

impl Store {
    /// The devices that a query means, by id.
    pub async fn search_devices(&self, query: &DeviceQuery, page: &PageRequest) -> Result<Page<Device>> {
        let prefixes: Vec<Option<(Uuid, Uuid)>> = query.words.iter().map(|word| ids_with_prefix(word)).collect();
        let patterns: Vec<String> = query.words.iter().map(|word| like_pattern(word)).collect();
        let mut conditions = Conditions::new("id >", page.after_uuid()?);
        for tag in &query.tags {
            let by = "EXISTS (SELECT 1 FROM device_tags WHERE device_tags.device_id = devices.id AND tag = {})";
            conditions.and_with(by, tag);
        }
        if let Some(model) = &query.model {
            conditions.and("model =", model);
        }
        if let Some(batch) = &query.batch {
            conditions.and("batch =", batch);
        }
        if let Some(owner) = query.owner {
            conditions.and("owner_id =", owner);
        }
        if let Some(online) = query.online {
            conditions.and("online =", online);
        }
        for (wanted, column) in
            [(query.claimed, "owner_id"), (query.enrolled, "enrolled_at"), (query.retired, "retired_at")]
        {
            match wanted {
                Some(true) => conditions.and_that(&format!("{column} IS NOT NULL")),
                Some(false) => conditions.and_that(&format!("{column} IS NULL")),
                None => {}
            }
        }
        for (pattern, ids) in patterns.iter().zip(prefixes) {
            match ids {
                Some((first, last)) => {
                    let row = conditions.params.len();
                    conditions.params.extend(params![pattern, first, last]);
                    let (a, b, c) = (row + 1, row + 2, row + 3);
                    conditions
                        .sql
                        .push_str(&format!(" AND (lower(name) LIKE ${a} ESCAPE '!' OR (id >= ${b} AND id <= ${c}))"));
                }
                None => conditions.and_with("lower(name) LIKE {} ESCAPE '!'", pattern),
            }
        }
        let Conditions { sql, mut params } = conditions;
        params.push(page.rows().into());
        let sql = format!("SELECT * FROM devices WHERE {sql} ORDER BY id LIMIT ${}", params.len());
        let rows = self.rows(AssertSqlSafe(sql), &params).await?;
        page.page(&rows, device, |device| device.id.to_string())
    }

    /// The tags of some devices, each list sorted. Devices without tags are not in it.
    pub async fn tags_of_devices(&self, devices: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<String>>> {
        let mut tags: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
        if devices.is_empty() {
            return Ok(tags);
        }
        let params: Vec<Param<'_>> = devices.iter().map(|device| (*device).into()).collect();
        let list = placeholders(1, params.len());
        let sql = format!("SELECT device_id, tag FROM device_tags WHERE device_id IN ({list}) ORDER BY device_id, tag");
        for row in self.rows(AssertSqlSafe(sql), &params).await? {
            tags.entry(row.get("device_id")?).or_default().push(row.get("tag")?);
        }
        Ok(tags)
    }

    /// Puts tags in the place of a device's, and gives its version. With `expected_version`, only of that version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] for another version, [`StoreError::Invalid`] for a tag that is none, or too many.
    pub async fn set_tags(&self, id: Uuid, tags: &[String], expected_version: Option<u64>) -> Result<u64> {
        check_tags(tags)?;
        let mut tx = self.begin().await?;
        let sql = format!("SELECT version FROM devices WHERE id = $1{}", tx.for_update());
        let row = tx.row(AssertSqlSafe(sql), &params![id]).await?.ok_or(StoreError::NotFound { what: "device" })?;
        let version = row.count("version")?;
        expect_version("device", expected_version, version)?;
        tx.execute("DELETE FROM device_tags WHERE device_id = $1", &params![id]).await?;
        for tag in tags {
            let sql = "INSERT INTO device_tags (device_id, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            tx.execute(sql, &params![id, tag]).await?;
        }
        tx.execute("UPDATE devices SET version = version + 1 WHERE id = $1", &params![id]).await?;
        tx.commit().await?;
        Ok(version + 1)
    }

    /// Makes a group.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken, [`StoreError::Invalid`] when the query is none.
    pub async fn create_group(&self, id: Uuid, name: &str, query: &str, now: OffsetDateTime) -> Result<DeviceGroup> {
        DeviceQuery::parse(query).map_err(|what| StoreError::Invalid { what })?;
        let sql = "INSERT INTO device_groups (id, name, query, created_at) VALUES ($1, $2, $3, $4) RETURNING *";
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![id, name, query, now]).await?;
        let group = group_of(&row.ok_or(StoreError::NotFound { what: "group" })?)?;
        tx.commit().await?;
        Ok(group)
    }

    /// All groups, by id.
    pub async fn groups(&self, page: &PageRequest) -> Result<Page<DeviceGroup>> {
        let sql = "SELECT * FROM device_groups WHERE id > $1 ORDER BY id LIMIT $2";
        let rows = self.rows(sql, &params![page.after_uuid()?, page.rows()]).await?;
        page.page(&rows, group_of, |group| group.id.to_string())
    }

    /// The group with this id.
    pub async fn group(&self, id: Uuid) -> Result<Option<DeviceGroup>> {
        let row = self.row("SELECT * FROM device_groups WHERE id = $1", &params![id]).await?;
        row.as_ref().map(group_of).transpose()
    }

    /// Forgets a group; its devices stay.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn delete_group(&self, id: Uuid) -> Result<()> {
        match self.execute("DELETE FROM device_groups WHERE id = $1", &params![id]).await? {
            0 => Err(StoreError::NotFound { what: "group" }),
            _ => Ok(()),
        }
    }

    /// Users whose name or address has this text in it, by id.
    pub async fn search_users(&self, text: &str, page: &PageRequest) -> Result<Page<User>> {
        let sql = "SELECT * FROM users WHERE id > $1 AND (name_folded LIKE $2 ESCAPE '!' OR email_folded LIKE $2 ESCAPE '!') \
             ORDER BY id LIMIT $3";
        let pattern = like_pattern(&fold(text));
        let rows = self.rows(sql, &params![page.after_uuid()?, &pattern, page.rows()]).await?;
        page.page(&rows, user_of, |user| user.id.to_string())
    }

    /// Shuts a user's account, or opens it again. One that is shut keeps its first date.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn set_user_disabled(&self, id: Uuid, disabled: bool, now: OffsetDateTime) -> Result<User> {
        let sql = if disabled {
            "UPDATE users SET disabled_at = COALESCE(disabled_at, $2) WHERE id = $1 RETURNING *"
        } else {
            "UPDATE users SET disabled_at = CASE WHEN disabled_at > $2 THEN NULL END WHERE id = $1 RETURNING *"
        };
        let mut tx = self.begin().await?;
        let row = tx.row(sql, &params![id, now]).await?;
        let user = user_of(&row.ok_or(StoreError::NotFound { what: "user" })?)?;
        tx.commit().await?;
        Ok(user)
    }
}

/// A tag has 1 to 64 letters, digits, `-`, `_`, `.` or `/`: it stands in queries, which are separated by spaces and colons.
fn check_tags(tags: &[String]) -> Result<()> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    let is_tag = |tag: &String| (1..=64).contains(&tag.len()) && tag.bytes().all(usable);
    if tags.len() > TAGS_MAX {
        return Err(StoreError::Invalid { what: format!("a device has at most {TAGS_MAX} tags") });
    }
    match tags.iter().find(|tag| !is_tag(tag)) {
        Some(tag) => Err(StoreError::Invalid { what: format!("tag {tag:?}: 1 to 64 letters, digits, - _ . or /") }),
        None => Ok(()),
    }
}

/// `%word%`, with what LIKE would take for a pattern escaped.
fn like_pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for character in word.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// The first and the last id that begin with these digits; `None` when they are no beginning of an id.
fn ids_with_prefix(word: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = word.chars().filter(|character| *character != '-').collect();
    let is_prefix = (1..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let padded = |with: &str| (digits.clone() + &with.repeat(32 - digits.len())).parse().ok();
    if is_prefix { padded("0").zip(padded("f")) } else { None }
}

fn group_of(row: &Row) -> Result<DeviceGroup> {
    Ok(DeviceGroup {
        id: row.get("id")?,
        name: row.get("name")?,
        query: row.get("query")?,
        created_at: row.time("created_at")?,
    })
}
