-- ?1 id, ?2 username, ?3 email, ?4 username_key, ?5 email_key, ?6 created_at
-- Whose name or address is another's becomes a twin. Inserts (and returns) nothing where the id is taken.
insert into users (id, username, email, username_key, username_twin, email_key, email_twin, created_at)
values (
  ?1, ?2, ?3,
  ?4, case when exists (select 1 from users where username_key = ?4 and username_twin = 0) then ?1 else 0 end,
  ?5, case when exists (select 1 from users where email_key = ?5 and email_twin = 0) then ?1 else 0 end,
  ?6
)
on conflict (id) do nothing
returning username_twin, email_twin
