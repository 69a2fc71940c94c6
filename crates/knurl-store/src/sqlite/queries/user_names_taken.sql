-- ?1 username_key, ?2 email_key
select
  exists (select 1 from users where username_key = ?1 and username_twin = 0),
  exists (select 1 from users where email_key = ?2 and email_twin = 0)
