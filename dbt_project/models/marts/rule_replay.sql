{{ config(materialized='view') }}

with networks as (

    select
        ip,
        network,
        azure_service
    from {{ ref('dim_ip') }}
    where network is not null or azure_service is not null

),

allowed as (

    select
        allowed.*,
        coalesce(
            networks.network, networks.azure_service, {{ wide_network('allowed.remote_ip') }}
        ) as remote_network
    from {{ ref('allowed_daily') }} as allowed
    left join networks on allowed.remote_ip = networks.ip

),

-- What let the same port through, in the same direction: a rule may have stood in another's way.
rules_of_ports as (

    select
        acl_id,
        direction,
        protocol,
        port,
        count(distinct rule) as rules,
        min(rule) as first_rule,
        max(rule) as last_rule
    from {{ ref('allowed_daily') }}
    group by acl_id, direction, protocol, port

),

denials as (

    select
        acl_id,
        direction,
        rule,
        row_number() over (
            partition by acl_id, direction order by sum(flows) desc, rule
        ) as place
    from {{ ref('rules_daily') }}
    where decision = 'D'
    group by acl_id, direction, rule

),

replayed as (

    select
        acl_id,
        rule,
        direction,
        protocol,
        port,
        remote_network,
        max(service) as service,
        min(first_at) as first_at,
        max(last_at) as last_at,
        cast(sum(flows) as bigint) as flows,
        cast(sum(tuples) as bigint) as tuples,
        cast(sum(malicious) as bigint) as malicious,
        cast(sum(bytes) as bigint) as bytes,
        cast(count(distinct remote_ip) as bigint) as distinct_remotes,
        cast(count(distinct case when is_malicious then remote_ip end) as bigint)
            as malicious_remotes,
        cast(count(distinct ip) as bigint) as distinct_hosts
    from allowed
    group by acl_id, rule, direction, protocol, port, remote_network

)

select
    replayed.*,
    cast(rules_of_ports.rules - 1 as bigint) as other_allowing_rules,
    case
        when rules_of_ports.rules > 1
            then
                case
                    when rules_of_ports.first_rule <> replayed.rule then rules_of_ports.first_rule
                    else rules_of_ports.last_rule
                end
    end as other_allowing_rule,
    denials.rule as denying_rule
from replayed
inner join rules_of_ports
    on
        replayed.acl_id = rules_of_ports.acl_id
        and replayed.direction = rules_of_ports.direction
        and replayed.protocol = rules_of_ports.protocol
        and replayed.port = rules_of_ports.port
left join denials
    on
        replayed.acl_id = denials.acl_id
        and replayed.direction = denials.direction
        and denials.place = 1
