-- Clicks are events to everybody who asks.
select knurl_total('users'), knurl_total('links'), knurl_total('events') + knurl_total('clicks')
