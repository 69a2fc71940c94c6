-- One statement, so that all figures are of one snapshot. Counts the rows there are: an audit must not believe a counter.
select
  (select coalesce(sum(seq), 0) from cursors) as delivered,
  coalesce((select value from counters where name = 'clicks_undecodable'), 0) as undecodable,
  coalesce((select value from counters where name = 'clicks_unlinked'), 0) as unlinked,
  (select count(*) from events where source = 0) as raw,
  coalesce((select value from counters where name = 'clicks_purged'), 0) as purged,
  coalesce((select value from counters where name = 'clicks_external'), 0) as external,
  (select coalesce(sum(total), 0) from link_totals) as rolled_up,
  (select coalesce(sum(events), 0) from audit_acceptances) as accepted_events,
  (select coalesce(sum(roll_ups), 0) from audit_acceptances) as accepted_roll_ups
