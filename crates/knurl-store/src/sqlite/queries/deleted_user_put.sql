-- ?1 id, ?2 created_at
insert or replace into deleted_users (id, created_at)
values (?1, ?2)
