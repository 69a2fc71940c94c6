-- ?1 id, ?2 username, ?3 email, ?4 username_key, ?5 email_key, ?6 created_at, ?7 username_twin, ?8 email_twin: the id where
-- user_names_taken says so, else 0. Inserts nothing where the id is taken. No `returning`: see link_import.
insert into users (id, username, email, username_key, username_twin, email_key, email_twin, created_at)
values (?1, ?2, ?3, ?4, ?7, ?5, ?8, ?6)
on conflict (id) do nothing
