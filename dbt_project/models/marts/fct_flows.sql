with flows as (

    select * from {{ ref('stg_flow_records') }}

),

lookups as (

    select * from {{ ref('stg_ip_lookup') }}

),

services as (

    select * from {{ ref('services') }}

),

copies as (

    select * from {{ ref('int_copies') }}

),

retransmissions as (

    select * from {{ ref('int_retransmissions') }}

),

-- An address that two written hours hold counts as the newer of the two knew it.
newest_first as (

    select
        *,
        rank() over (partition by ip order by written_date desc, written_hour desc) as newness
    from lookups

),

addresses as (

    select * from newest_first where newness = 1

),

-- The end of a flow that is the NIC's own: an inbound one's target, an outbound one's source.
own_ends as (

    select distinct
        date,
        hour,
        target_resource_id,
        {{ own_ip() }} as ip
    from {{ ref('stg_flow_records') }}

),

-- VNet flow logs name a virtual network, or a subnet of it; those of a NIC and of NSGs name none.
own_vnets as (

    select
        date,
        hour,
        ip,
        {{ vnet_of('lower(target_resource_id)') }} as vnet_id
    from own_ends

),

-- What two virtual networks claim within an hour is a hop's, or used twice: then nothing is known.
own_addresses as (

    select
        date,
        hour,
        ip,
        {{ only('vnet_id') }} as vnet_id,
        {{ name_in(only('vnet_id')) }} as vnet_name
    from own_vnets
    group by date, hour, ip

),

new_flows as (

    select
        *,
        {{ is_new_flow() }} as is_new_flow
    from flows

),

enriched as (

    select
        flows.*,
        src.country as src_country,
        dst.country as dst_country,
        src.threat_feed is not null or dst.threat_feed is not null as is_malicious,
        case when src.threat_feed is not null then src.threat_type else dst.threat_type end
            as threat_type,
        coalesce(src.threat_feed, dst.threat_feed) as threat_feed,
        services.service,
        {{ place_of('src', 'own_src') }} as src_place,
        {{ place_of('dst', 'own_dst') }} as dst_place,
        {{ is_one_vnet('src', 'own_src', 'dst', 'own_dst') }} as is_one_vnet,
        copies.blob is null as is_counted,
        copies.copy_kind,
        copies.copy_of,
        flows.is_new_flow and retransmissions.blob is null as is_attempt
    from new_flows as flows
    left join addresses as src
        on
            flows.src_ip = src.ip
            and (src.valid_from is null or flows.flow_time >= src.valid_from)
            and (src.valid_to is null or flows.flow_time < src.valid_to)
    left join addresses as dst
        on
            flows.dst_ip = dst.ip
            and (dst.valid_from is null or flows.flow_time >= dst.valid_from)
            and (dst.valid_to is null or flows.flow_time < dst.valid_to)
    left join own_addresses as own_src
        on
            flows.date = own_src.date
            and flows.hour = own_src.hour
            and flows.src_ip = own_src.ip
    left join own_addresses as own_dst
        on
            flows.date = own_dst.date
            and flows.hour = own_dst.hour
            and flows.dst_ip = own_dst.ip
    left join services
        on flows.dst_port = services.port and flows.protocol = services.protocol
    left join copies
        on
            flows.date = copies.date
            and flows.hour = copies.hour
            and flows.blob = copies.blob
            and flows.record_no = copies.record_no
            and flows.flow_no = copies.flow_no
            and flows.group_no = copies.group_no
            and flows.tuple_no = copies.tuple_no
    left join retransmissions
        on
            flows.date = retransmissions.date
            and flows.hour = retransmissions.hour
            and flows.blob = retransmissions.blob
            and flows.record_no = retransmissions.record_no
            and flows.flow_no = retransmissions.flow_no
            and flows.group_no = retransmissions.group_no
            and flows.tuple_no = retransmissions.tuple_no

)

select
    flow_time,
    date,
    hour,
    src_ip,
    dst_ip,
    src_port,
    dst_port,
    protocol,
    direction,
    decision,
    flow_state,
    encryption,
    packets_src_to_dst,
    bytes_src_to_dst,
    packets_dst_to_src,
    bytes_dst_to_src,
    rule,
    acl_id,
    flow_log_id,
    target_resource_id,
    mac,
    log_version,
    record_time,
    source,
    blob,
    record_no,
    flow_no,
    group_no,
    tuple_no,
    src_country,
    dst_country,
    is_malicious,
    threat_type,
    threat_feed,
    service,
    {{ flow_type('src_place', 'dst_place') }} as flow_type,
    is_new_flow,
    is_counted,
    copy_kind,
    copy_of,
    is_attempt
from enriched
