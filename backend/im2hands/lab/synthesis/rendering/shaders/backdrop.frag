// The variants are selected by #define, because a software driver executes both sides of an if.
// VIEW: a view of the environment instead of a picture. PLANE: a wall or table in front of it.
uniform sampler2D backdrop_picture;
uniform sampler2D view_map;
out vec4 colour;

vec2 mirror(vec2 at) {
    return 1.0 - abs(mod(at, 2.0) - 1.0);
}

vec3 far_light(vec3 ray) {
#ifdef VIEW
    vec3 wide = vec3(ray.xy * backdrop.w, 1.0);
    return textureLod(view_map, equirectangular(to_environment(normalize(wide))), backdrop.y).rgb * backdrop.z;
#else
    vec2 place = (gl_FragCoord.xy - 0.5 * picture.xy) / max(picture.x, picture.y);
    vec2 at = vec2(dot(backdrop_map[0].xy, place), dot(backdrop_map[1].xy, place))
        + vec2(backdrop_map[0].z, backdrop_map[1].z);
    vec3 light = textureLod(backdrop_picture, mirror(at), backdrop.y).rgb;
    return light * light * backdrop.z;
#endif
}

void main() {
    vec3 ray = vec3((gl_FragCoord.xy - 0.5 - picture.zw) / lens.xy, 1.0);
    vec3 light = far_light(ray);
#ifdef PLANE
    float along = dot(plane.xyz, ray);
    float reach = abs(along) < 1e-5 ? -1.0 : plane.w / along;
    vec3 point = ray * reach, n = plane.xyz;
    vec3 helper = abs(n.x) < 0.7 ? vec3(1.0, 0.0, 0.0) : vec3(0.0, 0.0, 1.0);
    vec3 a = normalize(cross(n, helper)), b = cross(n, a);
    vec2 at = vec2(dot(point, a), dot(point, b)) * plane_look.x;
    vec3 base = textureLod(backdrop_picture, mirror(at + 0.5), backdrop.y).rgb;
    base *= base * 0.85;
    vec3 diffuse = ambient(n);
    float lit = sunlight(point, n);
    int lights = int(lens.z);
    for (int k = 0; k < lights; k++)
        diffuse += light_colour[k].rgb * max(dot(n, light_direction[k].xyz), 0.0) * (k == 0 ? lit : 1.0);
    vec3 near_light = base * diffuse + mirrored(normalize(-ray), n, 0.5) * plane_look.y;
    if (reach > 0.0 && reach < 20.0) light = near_light;
#endif
    colour = vec4(respond(light), 1.0);
}
