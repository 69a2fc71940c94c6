-- Which database this is (`system_identifier`, its number there and the time line tell another server's history from this one's), at which
-- moment, and what tells that rows may be gone: counted removals, and another file for the table after a truncate.
select
  knurl_database_id()::text,
  (select system_identifier::text from pg_control_system())
    || '.' || (select oid::text from pg_database where datname = current_database())
    || '.' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
  knurl_total('links_removed')::text || '.' || pg_relation_filenode('links')::text,
  pg_current_snapshot()::text,
  knurl_total('links')
