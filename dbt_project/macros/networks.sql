{#- Which network an address is in: the user's list says it first, the logs where that is silent. -#}

{#- The virtual network in a resource id in lower case, and the subnet, if it names them. -#}
{% macro vnet_of(resource_id) -%}
nullif(regexp_extract({{ resource_id }}, '^(.*/virtualnetworks/[^/]+)', 1), '')
{%- endmacro %}

{% macro subnet_of(resource_id) -%}
nullif(regexp_extract({{ resource_id }}, '^(.*/virtualnetworks/[^/]+/subnets/[^/]+)', 1), '')
{%- endmacro %}

{#- The last part of a resource id. -#}
{% macro name_in(resource_id) -%}
nullif(regexp_extract({{ resource_id }}, '([^/]+)$', 1), '')
{%- endmacro %}

{#- The only value that is told; null if there are two. -#}
{% macro only(column) -%}
case when min({{ column }}) = max({{ column }}) then max({{ column }}) end
{%- endmacro %}

{#- An address that the logs of a NIC tell of, where it is the NIC's own: what is public passes through. -#}
{% macro private_ip() -%}
case when address_class in ('private', 'shared', 'unique_local') then ip end
{%- endmacro %}

{#- The network of one end (`src`, `dst`): of `FLOW_NETWORKS` what holds its address, else what the logs
    name (`own_src`, `own_dst`). A listed subnet without a virtual network around it is in the logs'. -#}
{% macro network_of(end) -%}
coalesce({{ end }}.network, own_{{ end }}.network) as {{ end }}_network,
        coalesce(
            {{ end }}.vnet,
            case
                when {{ end }}.network is null or {{ end }}.network_kind = 'subnet' then own_{{ end }}.vnet
            end
        ) as {{ end }}_vnet,
        case
            when {{ end }}.network is not null then 'list'
            when own_{{ end }}.network is not null then 'log'
            when own_{{ end }}.ip is not null then 'nic'
        end as {{ end }}_network_from,
        case when {{ end }}.network is null then own_{{ end }}.network_id end as {{ end }}_network_id
{%- endmacro %}
