-- ?1 and so on: the columns
insert into users (id, username, email, username_key, username_twin, email_key, email_twin, created_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
on conflict (id) do update
set username = excluded.username,
  email = excluded.email,
  username_key = excluded.username_key,
  username_twin = excluded.username_twin,
  email_key = excluded.email_key,
  email_twin = excluded.email_twin,
  created_at = excluded.created_at
