{{ config(materialized='view') }}

with lookups as (

    select
        lookups.*,
        allowed.ip is not null as is_allow_listed,
        allowed.reason as allow_list_reason
    from {{ ref('stg_ip_lookup') }} as lookups
    left join {{ ref('int_allow_listed') }} as allowed
        on lookups.ip = allowed.ip

),

-- The span that is open says what held last; of several look-ups the newest counts.
newest_first as (

    select
        *,
        row_number() over (
            partition by ip
            order by written_date desc, written_hour desc, looked_up_at desc
        ) as newness
    from lookups
    where valid_to is null

)

select
    ip,
    address_class,
    country,
    asn,
    organisation,
    azure_region,
    azure_service,
    scanner,
    network,
    network_kind,
    network_region,
    vnet,
    threat_feed is not null as is_malicious,
    threat_type,
    threat_feed,
    threat_entry,
    valid_from as known_since,
    looked_up_at,
    country_db,
    asn_db,
    azure_ranges,
    scanner_list,
    network_list,
    is_allow_listed,
    allow_list_reason
from newest_first
where newness = 1
