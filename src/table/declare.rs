//! The macro that declares a record with its columns.

/// Declares a record: a struct whose fields are the columns of a table, each under its own name, the key first.
///
/// It is an ordinary struct with [`sqlx::FromRow`] derived; further derives, attributes and visibilities are written as usual. A
/// field may be of any type that sqlx can encode and decode, an `Option` where the column may be NULL. There is one
/// key column, and at least one other. The crate that declares a record has to depend on sqlx.
///
/// ```
/// use unstale::{Handle, Policy, Record, RepositoryError, SqliteOptions, SqliteSource, Table};
///
/// unstale::table! {
///     /// A campaign.
///     #[derive(Clone, Debug, PartialEq)]
///     pub struct Campaign in "campaign" {
///         id: i64,
///         name: String,
///         open: bool,
///         budget: i64,
///     }
/// }
///
/// struct Campaigns(Table<Campaign, SqliteSource>);
///
/// impl Campaigns {
///     fn new(db: Handle<SqliteSource>) -> Self {
///         Self(Table::new(db))
///     }
///
///     /// What can be spent on, the largest first.
///     async fn affordable(&self, budget: i64) -> Result<Vec<Campaign>, RepositoryError> {
///         let open = Campaign::all().filter(|row| row.open.eq(true)).filter(|row| row.budget.at_most(budget));
///         self.0.list(open.sort(|row| row.budget.descending())).await
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sessions = SqliteOptions::from_url("sqlite::memory:")?.open(Policy::default()).await?;
/// # let scope = sessions.scope("request");
/// # sqlx::raw_sql("create table campaign (id integer primary key, name text, open integer, budget integer)")
/// #     .execute(&scope).await?;
/// let campaigns = Campaigns::new(scope.handle("Campaigns"));
/// let summer = Campaign { id: 17, name: "summer".into(), open: true, budget: 100 };
/// campaigns.0.insert(&summer).await?;
/// assert_eq!(campaigns.0.find(17).await?, Some(summer.clone()));
/// assert_eq!(campaigns.affordable(150).await?, [summer]);
/// assert!(campaigns.0.delete(17).await?);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! table {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $record:ident in $table:literal {
            $(#[$key_attribute:meta])* $key_visibility:vis $key:ident: $key_type:ty,
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $field_type:ty),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(::sqlx::FromRow)]
        $visibility struct $record {
            $(#[$key_attribute])* $key_visibility $key: $key_type,
            $($(#[$field_attribute])* $field_visibility $field: $field_type),+
        }

        const _: () = {
            #[doc = ::std::concat!("The columns of `", $table, "`.")]
            #[allow(dead_code, reason = "not every column is asked for")]
            pub struct Columns {
                #[doc = ::std::concat!("The column `", ::std::stringify!($key), "`.")]
                pub $key: $crate::table::Column<$record, $key_type>,
                $(
                    #[doc = ::std::concat!("The column `", ::std::stringify!($field), "`.")]
                    pub $field: $crate::table::Column<$record, $field_type>,
                )+
            }

            impl $crate::table::Record for $record {
                type Key = $key_type;
                type Columns = Columns;
                const TABLE: &'static str = $table;
                const NAMES: &'static [&'static str] = &[
                    $crate::table::column_name(::std::stringify!($key)),
                    $($crate::table::column_name(::std::stringify!($field))),+
                ];
                const COLUMNS: Columns = {
                    use $crate::table::NeverNull as _;
                    Columns {
                        $key: $crate::table::Column::new(
                            $crate::table::column_name(::std::stringify!($key)),
                            $crate::table::Nullness::<$key_type>::is_null,
                        ),
                        $($field: $crate::table::Column::new(
                            $crate::table::column_name(::std::stringify!($field)),
                            $crate::table::Nullness::<$field_type>::is_null,
                        )),+
                    }
                };
            }

            impl<DB: ::sqlx::Database> $crate::table::Stored<DB> for $record
            where
                Self: for<'r> ::sqlx::FromRow<'r, <DB as ::sqlx::Database>::Row>,
                $key_type: $crate::table::Bind<DB>,
                $($field_type: $crate::table::Bind<DB>,)+
            {
                fn values(&self) -> ::std::vec::Vec<&dyn $crate::table::Bind<DB>> {
                    ::std::vec![&self.$key, $(&self.$field),+]
                }
            }
        };
    };
}

/// The column of a field: a name that is a keyword of Rust's is written `r#type` there, and `type` in the database.
#[doc(hidden)]
pub const fn column_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}
