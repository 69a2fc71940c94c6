-- $1 id, $2 username, $3 username_key; a twin that keeps its name stays a twin
update users
set username = $2,
  username_twin = case when username_key = $3 then username_twin else 0 end,
  username_key = $3
where id = $1
